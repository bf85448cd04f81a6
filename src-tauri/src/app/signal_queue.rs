//! What a run says, on its way to the disk: a queue with a limit whose sender never waits.
//!
//! A machine that prints faster than the disk writes must not fill the memory, and must not hold up the run. So
//! the oldest line gives way to the newest, as it does on the disk, where only the last lines of a step are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tandem_domain::run::RunSignal;
use tokio::sync::Notify;

use super::lock;

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    signals: VecDeque<RunSignal>,
    closed: bool,
}

/// The end that says something. Its drop closes the queue.
pub(super) struct Sender {
    queue: Arc<Queue>,
    most: usize,
}

/// The end that hears it.
pub(super) struct Receiver(Arc<Queue>);

/// A queue of at most so many signals. Events do not count, because none may be lost; a run has some hundred.
pub(super) fn signal_queue(most: usize) -> (Sender, Receiver) {
    let queue = Arc::new(Queue::default());
    let sender = Sender {
        queue: queue.clone(),
        most,
    };
    (sender, Receiver(queue))
}

impl Sender {
    /// Puts a signal at the end. Where there is no room, the oldest that is no event goes.
    pub(super) fn send(&self, signal: RunSignal) {
        let mut waiting = lock(&self.queue.waiting);
        let signals = &mut waiting.signals;
        if signals.len() >= self.most
            && let Some(at) = signals.iter().position(may_be_lost)
        {
            signals.remove(at);
        }
        signals.push_back(signal);
        drop(waiting);
        self.queue.news.notify_one();
    }
}

fn may_be_lost(signal: &RunSignal) -> bool {
    matches!(signal, RunSignal::Log { .. } | RunSignal::Progress { .. })
}

impl Drop for Sender {
    fn drop(&mut self) {
        lock(&self.queue.waiting).closed = true;
        self.queue.news.notify_one();
    }
}

impl Receiver {
    /// Waits for signals and moves at most `most` of them into `into`. Gives back how many; 0 at the end.
    pub(super) async fn recv_many(&mut self, into: &mut Vec<RunSignal>, most: usize) -> usize {
        loop {
            let news = self.0.news.notified();
            {
                let mut waiting = lock(&self.0.waiting);
                let n = waiting.signals.len().min(most);
                if n > 0 || waiting.closed {
                    into.extend(waiting.signals.drain(..n));
                    return n;
                }
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::run::{Event, RunEvent, RunOutcome, RunSignal, StepId};

    use super::signal_queue;

    fn line(text: &str) -> RunSignal {
        RunSignal::Log {
            step: StepId::from("serve"),
            machine: None,
            line: text.to_owned(),
        }
    }

    #[tokio::test]
    async fn the_oldest_line_gives_way_and_no_event_does() {
        let (sender, mut receiver) = signal_queue(3);
        let end = RunSignal::Event {
            event: RunEvent {
                seq: 1,
                at: 0,
                step: None,
                event: Event::Finished {
                    outcome: RunOutcome::Completed,
                },
            },
        };
        sender.send(end.clone());
        for text in ["one", "two", "three", "four"] {
            sender.send(line(text));
        }
        drop(sender);
        let mut heard = Vec::new();
        while receiver.recv_many(&mut heard, 2).await > 0 {}
        assert_eq!(heard, [end, line("three"), line("four")]);
    }
}
