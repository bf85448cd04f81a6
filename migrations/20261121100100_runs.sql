-- Runs and their history. What a run "is" is computed by reading its events in order.
create table run (
  id text primary key,
  recipe text not null,
  recipe_version integer not null,
  title text not null,
  params text not null check (json_valid(params)),
  plan text not null check (json_valid(plan)),
  started_at integer not null,
  -- A cache of the last event, written with it in one transaction; empty while a run goes on or was interrupted.
  finished_at integer,
  outcome text check (outcome in ('completed', 'failed', 'cancelled', 'undone', 'needs-attention')),
  simulated integer not null check (simulated in (0, 1)),
  check ((outcome is null) = (finished_at is null))
) strict;

create trigger run_plan_is_fixed before update of id, recipe, recipe_version, params, plan, started_at, simulated on run
begin select raise(abort, 'what a run was planned as is never rewritten'); end;

create table run_event (
  run_id text not null references run (id),
  seq integer not null check (seq > 0),
  at integer not null,
  step text,
  kind text not null,
  body text not null check (json_valid(body)),
  -- Two writers cannot both take a number.
  primary key (run_id, seq)
) strict, without rowid;

create trigger run_event_has_no_gaps before insert on run_event
when new.seq <> (select coalesce(max(seq), 0) + 1 from run_event where run_id = new.run_id)
begin select raise(abort, 'run_event is numbered without gaps'); end;

create trigger run_event_is_append_only before update on run_event
begin select raise(abort, 'run_event is append-only'); end;

create trigger run_event_is_kept before delete on run_event
begin select raise(abort, 'run_event is append-only'); end;

-- The latest progress only: rewritten in place, allowed to be lost.
create table run_progress (
  run_id text not null references run (id),
  step text not null,
  body text not null check (json_valid(body)),
  primary key (run_id, step)
) strict, without rowid;

-- What a step printed, the last lines of each. For people; nothing is decided by it.
create table run_log (
  run_id text not null references run (id),
  step text not null,
  n integer not null,
  at integer not null,
  machine text,
  line text not null,
  primary key (run_id, step, n)
) strict, without rowid;
