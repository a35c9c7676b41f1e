// SPDX-License-Identifier: GPL-2.0

//! tokio: what bench.h says of the programs holds for this one as well.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;
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
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn many(processors: u64) -> Runtime {
    if processors == 1 {
        return one();
    }
    Builder::new_multi_thread()
        .worker_threads(processors as usize)
        .enable_time()
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

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("yield") => yields(),
        Some("channel") => channel(),
        Some("spawn") => spawn(),
        Some("mutex") => mutex(),
        _ => {
            eprintln!("Usage: tokio WORK [PARAMETER=VALUE]...");
            std::process::exit(2);
        }
    }
}
