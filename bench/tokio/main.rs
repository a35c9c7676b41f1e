// SPDX-License-Identifier: GPL-2.0

//! tokio: what bench.h says of the programs holds for this one as well.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::io::FromRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, Mutex};

static TURNS: AtomicU64 = AtomicU64::new(0);

fn parameter(name: &str) -> u64 {
    for arg in std::env::args().skip(2) {
        if let Some((key, value)) = arg.split_once('=') {
            if key == name {
                return value.parse().expect(name);
            }
        }
    }
    eprintln!("no {}=", name);
    std::process::exit(2);
}

fn sample(metric: &str, value: f64) {
    println!("sample {} {}", metric, value);
}

/// What each of n took that began at start and are done now.
fn each(start: Instant, n: u64) {
    sample("ns", start.elapsed().as_nanos() as f64 / n as f64);
}

fn counted(turns: u64, n: u64) {
    if turns != n {
        eprintln!("{}, not {}", turns, n);
        std::process::exit(1);
    }
}

fn one() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn many(processors: u64) -> Runtime {
    if processors == 1 {
        return one();
    }
    Builder::new_multi_thread()
        .worker_threads(processors as usize)
        .enable_all()
        .build()
        .unwrap()
}

/// One's own turns are counted: a yield may come back to the caller.
fn yields() {
    let n = parameter("n");
    let runtime = one();

    runtime.block_on(async move {
        let other = tokio::spawn(async move {
            while TURNS.fetch_add(1, Ordering::Relaxed) < n {
                tokio::task::yield_now().await;
            }
        });
        let own = tokio::spawn(async move {
            let start = Instant::now();
            for _ in 0..n {
                tokio::task::yield_now().await;
            }
            each(start, 2 * n);
            counted(TURNS.load(Ordering::Relaxed), n + 1);
        });
        own.await.unwrap();
        other.await.unwrap();
    });
}

/// It has no channel without a buffer; room for one is nearest to that.
fn channel() {
    let n = parameter("n");

    many(parameter("processors")).block_on(async move {
        let (there, mut received) = mpsc::channel::<u64>(1);
        let (answer, mut back) = mpsc::channel::<u64>(1);
        let other = tokio::spawn(async move {
            while let Some(value) = received.recv().await {
                TURNS.fetch_add(1, Ordering::Relaxed);
                answer.send(value).await.unwrap();
            }
        });
        let own = tokio::spawn(async move {
            let start = Instant::now();
            for i in 0..n {
                there.send(i).await.unwrap();
                counted(back.recv().await.unwrap(), i);
            }
            each(start, n);
        });
        own.await.unwrap();
        other.await.unwrap();
        counted(TURNS.load(Ordering::Relaxed), n);
    });
}

fn spawn() {
    let n = parameter("n");

    one().block_on(async move {
        let start = Instant::now();
        for _ in 0..n {
            tokio::spawn(async {
                TURNS.fetch_add(1, Ordering::Relaxed);
            })
            .await
            .unwrap();
        }
        each(start, n);
        counted(TURNS.load(Ordering::Relaxed), n);
    });
}

fn mutex() {
    let (tasks, n) = (parameter("tasks"), parameter("n"));

    many(2).block_on(async move {
        let count = Arc::new(Mutex::new(0u64));
        let start = Instant::now();
        let all: Vec<_> = (0..tasks)
            .map(|_| {
                let count = count.clone();
                tokio::spawn(async move {
                    for _ in 0..n {
                        *count.lock().await += 1;
                    }
                })
            })
            .collect();
        for task in all {
            task.await.unwrap();
        }
        each(start, 1);
        counted(*count.lock().await, tasks * n);
    });
}

/// How many the process has; those for what blocks stay for ten seconds.
fn threads() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("Threads:")).unwrap();

    sample("threads", line[8..].trim().parse().unwrap());
}

/// The files are those that bench.h says bench/feeder gives.
fn pipe(task: u64) -> File {
    unsafe { File::from_raw_fd(3 + task as i32) }
}

fn read(mut file: &File) -> std::io::Result<usize> {
    let mut byte = [0u8];

    file.read(&mut byte)
}

fn ready(tasks: u64) -> Instant {
    let start = Instant::now();

    pipe(tasks + 1).write_all(&[0]).unwrap();
    start
}

/// Runs a task for each, which says how often it did what it was to do.
fn all<F, T>(times: &str, fed: bool, task: F)
where
    F: Fn(u64, u64) -> T,
    T: std::future::Future<Output = u64> + Send + 'static,
{
    let (tasks, times) = (parameter("tasks"), parameter(times));

    many(2).block_on(async move {
        let mut start = Instant::now();
        let all: Vec<_> = (0..tasks).map(|i| tokio::spawn(task(i, times))).collect();
        let mut done = 0;
        if fed {
            start = ready(tasks);
        }
        for task in all {
            done += task.await.unwrap();
        }
        each(start, 1);
        counted(done, tasks * times);
        threads();
    });
}

/// What blocks goes to threads that are there for that, 512 at most.
async fn sleeps_blocking(_: u64, times: u64) -> u64 {
    for _ in 0..times {
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(10)))
            .await
            .unwrap();
    }
    times
}

async fn sleeps(_: u64, times: u64) -> u64 {
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times
}

async fn reads_blocking(task: u64, times: u64) -> u64 {
    let file = Arc::new(pipe(task));
    let mut done = 0;

    for _ in 0..times {
        let file = file.clone();
        done += tokio::task::spawn_blocking(move || read(&file).unwrap())
            .await
            .unwrap();
    }
    done as u64
}

async fn reads(task: u64, times: u64) -> u64 {
    let file = AsyncFd::new(pipe(task)).unwrap();
    let mut done = 0;

    while done < times {
        let mut guard = file.readable().await.unwrap();
        if let Ok(got) = guard.try_io(|inner| read(inner.get_ref())) {
            done += got.unwrap() as u64;
        }
    }
    done
}

fn sample_late(mut late: Vec<u64>) {
    let n = late.len();

    late.sort_unstable();
    sample("p50", late[n / 2] as f64);
    sample("p99", late[n - 1 - n / 100] as f64);
    sample("worst", late[n - 1] as f64);
}

fn sleeping() {
    let tasks = parameter("tasks");
    let interval = Duration::from_secs(1) / parameter("per_second") as u32;

    many(2).block_on(async move {
        let start = Instant::now();
        let (release, released) = tokio::sync::watch::channel(start);
        let all: Vec<_> = (0..tasks)
            .map(|i| {
                let mut released = released.clone();
                tokio::spawn(async move {
                    released.changed().await.unwrap();
                    let deadline = *released.borrow() + interval * i as u32;
                    tokio::time::sleep_until(deadline.into()).await;
                    deadline.elapsed().as_nanos() as u64
                })
            })
            .collect();
        let begin = Instant::now() + start.elapsed() + Duration::from_secs(1);
        release.send(begin).unwrap();
        let mut late = Vec::new();
        for task in all {
            late.push(task.await.unwrap());
        }
        sample_late(late);
    });
}

/// One processor: how long who is ready waits for one who blocks, or who computes.
fn handover() {
    let (n, busy) = (parameter("n"), parameter("busy") != 0);
    let length = Duration::from_millis(parameter("ms"));
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();

    runtime.block_on(async move {
        let (ready, mut readied) = mpsc::channel::<Instant>(1);
        let (answer, mut answered) = mpsc::channel::<u64>(1);
        tokio::spawn(async move {
            while let Some(since) = readied.recv().await {
                answer
                    .send(since.elapsed().as_nanos() as u64)
                    .await
                    .unwrap();
            }
        });
        let own = tokio::spawn(async move {
            let mut late = Vec::new();
            for _ in 0..n {
                let since = Instant::now();
                ready.send(since).await.unwrap();
                if busy {
                    while since.elapsed() < length {}
                } else {
                    std::thread::sleep(length);
                }
                late.push(answered.recv().await.unwrap());
            }
            late
        });
        sample_late(own.await.unwrap());
    });
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("yield") => yields(),
        Some("channel") => channel(),
        Some("spawn") => spawn(),
        Some("mutex") => mutex(),
        Some("blocking") => all("sleeps", false, sleeps_blocking),
        Some("sleeps") => all("sleeps", false, sleeps),
        Some("reads-blocking") => all("reads", true, reads_blocking),
        Some("reads") => all("reads", true, reads),
        Some("sleeping") => sleeping(),
        Some("handover") => handover(),
        _ => {
            eprintln!("Usage: tokio WORK [PARAMETER=VALUE]...");
            std::process::exit(2);
        }
    }
}
