//! Why there is no sandbox, in words that say what to do about it.

use crate::tools::ToolError;
use nix::errno::Errno;
use std::fmt;

/// The sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel or its security policy refuses namespaces.
    #[error("cannot create namespaces ({step}: {errno}): {advice}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        errno: Errno,
        /// What to do.
        advice: Advice,
    },
    /// A program is missing or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// No free port near the wanted one.
    #[error("no free port on 127.0.0.1 from {first} to {last}; stop what listens there")]
    NoFreePort {
        /// The port that was asked for.
        first: u16,
        /// The last one tried.
        last: u16,
    },
    /// Anything else that the system refused.
    #[error("sandbox: {step}: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The way out that fits this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Ubuntu's AppArmor takes the capabilities of user namespaces away.
    AppArmor,
    /// Debian's old switch is off.
    UnprivilegedClone,
    /// The number of user namespaces is limited to zero.
    NoUserNamespaces,
    /// Root without CAP_SYS_ADMIN, as in a container.
    Container,
    /// None of the known switches.
    Unknown,
}

impl Advice {
    /// Reads the switches that are known to forbid user namespaces.
    pub(super) fn find() -> Advice {
        Advice::choose(nix::unistd::geteuid().is_root(), |path| std::fs::read_to_string(path).ok())
    }

    fn choose(root: bool, read: impl Fn(&str) -> Option<String>) -> Advice {
        let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
        if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") && !root {
            Advice::AppArmor
        } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") && !root {
            Advice::UnprivilegedClone
        } else if is("/proc/sys/user/max_user_namespaces", "0") {
            Advice::NoUserNamespaces
        } else if root {
            Advice::Container
        } else {
            Advice::Unknown
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Advice::AppArmor => {
                "run it with sudo, or allow it with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
            }
            Advice::UnprivilegedClone => {
                "run it with sudo, or allow it with `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
            }
            Advice::NoUserNamespaces => {
                "run it with sudo, or allow it with `sudo sysctl -w user.max_user_namespaces=10000`"
            }
            Advice::Container => "this container may not; start it with `--privileged` (or run on the host)",
            Advice::Unknown => "run it with sudo",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Advice;

    #[test]
    fn advice_follows_the_switch_that_is_off() {
        let only = |name: &'static str, value: &'static str| {
            move |path: &str| path.ends_with(name).then(|| format!("{value}\n"))
        };
        let apparmor = only("apparmor_restrict_unprivileged_userns", "1");
        assert_eq!(Advice::choose(false, apparmor), Advice::AppArmor);
        assert_eq!(Advice::choose(true, apparmor), Advice::Container);
        assert_eq!(Advice::choose(false, only("unprivileged_userns_clone", "0")), Advice::UnprivilegedClone);
        assert_eq!(Advice::choose(false, only("max_user_namespaces", "0")), Advice::NoUserNamespaces);
        assert_eq!(Advice::choose(false, |_| None), Advice::Unknown);
    }
}
