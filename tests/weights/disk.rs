//! Disks that are full, read-only, or hold what a container left as root.

use tandem_domain::problem::Code;
use tandem_tests::{Link, PASSWORD, Spark, USER};

use crate::scene::{COMMIT, Scene, told};

pub(crate) async fn it_is_full_before_and_in_the_middle(scene: &Scene) {
    let job = scene.fresh("full").await;
    scene.lab.fill_disk(Spark::A, 8 << 20).await.unwrap();
    let problem = job.failed(&job.start().await).await;
    told(&problem, Code::DiskTooSmall);
    assert_eq!(scene.served(), 0, "it is said before anything comes");
    scene.lab.free_disk(Spark::A).await.unwrap();

    let link = Link::Management(Spark::A);
    scene.lab.rate(link, Some(80)).await.unwrap();
    let started = job.start().await;
    scene.served_is(scene.total / 2).await;
    // Something else takes nearly all there is, and the download the rest.
    scene.lab.fill_disk(Spark::A, 4 << 20).await.unwrap();
    let problem = job.failed(&started).await;
    scene.lab.rate(link, None).await.unwrap();
    told(&problem, Code::DiskFull);
    job.nothing_wrong().await;
    // Tried again without room it is refused at once.
    let kept = scene.served();
    let place = scene.place(Spark::A);
    let again = place.start(&job.name, job.work.clone(), None).await;
    let problem = match again.unwrap() {
        Err(problem) => problem,
        Ok(started) => job.failed(&started).await,
    };
    assert!(
        matches!(problem.code, Code::DiskFull | Code::DiskTooSmall),
        "{problem}"
    );
    assert_eq!(scene.served(), kept, "nothing came");
    scene.lab.free_disk(Spark::A).await.unwrap();
    job.completes().await;
    job.each_byte_once(1);
}

pub(crate) async fn the_cache_is_read_only(scene: &Scene) {
    let job = scene.fresh("readonly").await;
    job.half().await;
    let kept = scene.served();
    // The cache alone, as a mount of its own would be.
    let closed = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\"";
    scene.sh(Spark::A, closed, &[&job.home]).await;
    let problem = job.failed(&job.start().await).await;
    told(&problem, Code::MachineUnfit);
    assert!(
        problem.cause.as_ref().unwrap().contains("read-only"),
        "{problem}"
    );
    scene.sh(Spark::A, "umount \"$1\"", &[&job.home]).await;
    // All of the user's disk, as after an error of the disk itself.
    scene.sh(Spark::A, "mount -o remount,ro /home", &[]).await;
    let problem = job.refused().await;
    scene.sh(Spark::A, "mount -o remount,rw /home", &[]).await;
    told(&problem, Code::MachineUnfit);
    assert!(
        problem.cause.as_ref().unwrap().contains("read-only"),
        "{problem}"
    );
    assert_eq!(scene.served(), kept, "nothing came");
    job.completes().await;
    job.each_byte_once(1);
}

pub(crate) async fn blobs_belong_to_root(scene: &Scene) {
    let job = scene.fresh("root").await;
    job.completes().await;
    // As a container that ran as root left it, with one file missing.
    let script = "blob=$(readlink -f \"$1/snapshots/$2/$3\"); rm \"$blob\"; chown -R root:root \"$4\"; \
        find \"$4\" -type d -exec chmod 755 {} +; find \"$4\" -type f -exec chmod 644 {} +";
    let missing = "model-00006-of-00006.safetensors";
    let arguments = [
        job.folder(),
        COMMIT.into(),
        missing.into(),
        job.home.clone(),
    ];
    let arguments = arguments.each_ref().map(String::as_str);
    scene.sh(Spark::A, script, &arguments).await;
    scene.hub.counters().reset();
    let forget = "rm -rf /home/\"$1\"/.local/share/tandem/jobs/root";
    scene.sh(Spark::A, forget, &[USER]).await;
    let problem = job.failed(&job.start().await).await;
    told(&problem, Code::MachineUnfit);
    assert!(
        problem.cause.as_ref().unwrap().contains("belongs to root"),
        "{problem}"
    );
    assert_eq!(scene.served(), 0, "it is said before anything comes");
    // The person does what it says, once and with their own password.
    let command = problem.fix.unwrap().command.unwrap();
    let command = command.replace("sudo ", "sudo -S -p '' ");
    let said = scene
        .lab
        .exec_with(
            Spark::A,
            &[
                "runuser",
                "-u",
                USER,
                "--",
                "env",
                &format!("USER={USER}"),
                "sh",
                "-ec",
                &command,
            ],
            format!("{PASSWORD}\n").as_bytes(),
        )
        .await
        .unwrap();
    assert!(said.ok(), "{command}: {}", said.stderr);
    job.completes().await;
    let size = scene.sizes(COMMIT)[missing];
    assert_eq!(scene.served(), size, "only what was missing came");
}
