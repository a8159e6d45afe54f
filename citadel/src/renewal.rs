//! When a certificate is due for renewal: the same rule for what the CA gave us and for the control plane's own. And
//! waiting for that by both clocks.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

/// The clock of timers stops while the machine sleeps, so the wall clock is looked at this often.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);
/// Lives get shorter as the root nears its end; renewing must not turn into a busy loop then.
pub(crate) const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// Half of the life that was left when the certificate came, +- 1 %; its start is back-dated and says nothing.
pub(crate) async fn sleep_until_due(life: Duration) {
    let wait = life.mul_f64(0.49 + 0.02 * fastrand::f64()).max(SHORTEST_WAIT);
    sleep_by(wait, SystemTime::now).await;
}

/// Until a time of the wall clock.
pub(crate) async fn sleep_until(at: SystemTime) {
    sleep_by(at.duration_since(SystemTime::now()).unwrap_or_default(), SystemTime::now).await;
}

/// Until `wait` is over by either clock: the wall clock may be set back, the other one stops in suspend.
async fn sleep_by(wait: Duration, mut wall_clock: impl FnMut() -> SystemTime) {
    let (due, due_by_wall) = (Instant::now() + wait, wall_clock() + wait);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        sleep(left.min(LOOK_AT_CLOCK)).await;
        if left <= LOOK_AT_CLOCK || wall_clock() >= due_by_wall {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_was_suspended_renews_when_it_wakes() {
        let before = SystemTime::now();
        let mut looks = [before, before, before + HOUR].into_iter();
        let started = Instant::now();
        sleep_by(HOUR, || looks.next().unwrap_or(before + HOUR)).await;
        assert_eq!(started.elapsed().as_secs(), 60, "seen at the second look");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_delays_no_renewal() {
        let before = SystemTime::now();
        let mut looks = [before].into_iter();
        let started = Instant::now();
        sleep_by(HOUR, || looks.next().unwrap_or(before - HOUR)).await;
        assert_eq!(started.elapsed().as_secs(), 3600);
    }
}
