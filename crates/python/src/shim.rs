//! `run_shim`: a line with weather, between two interfaces.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use wirewright_linux::shim::{self, Counters, Weather};

use crate::error::os_error;

type Counted = HashMap<&'static str, u64>;

/// Forward frames between two interfaces of this network namespace until ``stop`` (a descriptor) becomes readable.
/// ``ready`` is called once it does. Returns what became of the frames from the left, and of those from the right.
#[pyfunction]
#[pyo3(signature = (left, right, *, stop, ready, delay = 0.0, jitter = 0.0, loss = 0.0, reorder = 0.0, largest = None, waiting = 67108864, seed = 0))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn run_shim(
    py: Python<'_>,
    left: &str,
    right: &str,
    stop: RawFd,
    ready: &Bound<'_, PyAny>,
    delay: f64,
    jitter: f64,
    loss: f64,
    reorder: f64,
    largest: Option<usize>,
    waiting: usize,
    seed: u64,
) -> PyResult<(Counted, Counted)> {
    let share = |name, value: f64| {
        (0.0..=1.0)
            .contains(&value)
            .then_some(value)
            .ok_or_else(|| PyValueError::new_err(format!("{name} must be a share from 0 to 1, not {value}")))
    };
    let time = |name, seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| PyValueError::new_err(format!("{name} must be a number of seconds, not {seconds}")))
    };
    let weather = Weather {
        delay: time("delay", delay)?,
        jitter: time("jitter", jitter)?,
        loss: share("loss", loss)?,
        reorder: share("reorder", reorder)?,
        largest,
        waiting,
        seed,
    };
    // SAFETY: the caller passes a descriptor that is open during the call; it is only duplicated.
    let stop: OwnedFd = unsafe { BorrowedFd::borrow_raw(stop) }
        .as_fd()
        .try_clone_to_owned()?;
    let ready = ready.clone().unbind();
    let mut told = Ok(());
    let run = || {
        let announce = || told = Python::attach(|py| ready.call0(py).map(drop));
        shim::run(left, right, weather, stop.as_fd(), announce)
    };
    let [from_left, from_right] = py.detach(run).map_err(|error| os_error(py, &error, None))?;
    told?;
    Ok((by_name(from_left), by_name(from_right)))
}

fn by_name(counters: Counters) -> Counted {
    let Counters {
        forwarded,
        lost,
        too_long,
        overflowed,
        refused,
    } = counters;
    HashMap::from([
        ("forwarded", forwarded),
        ("lost", lost),
        ("too_long", too_long),
        ("overflowed", overflowed),
        ("refused", refused),
    ])
}
