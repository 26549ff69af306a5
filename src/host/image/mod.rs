//! An image job: a tree of CPython becomes a container image, and proves what it is.

pub mod layers;
mod probe;

use super::log::Log;
use super::phase::{self, End, Plan};
use super::{Host, Stop};
use crate::domain::job::{BuildSpec, BuiltImage, Report};
use crate::domain::outcome::{Outcome, Timeout};
use crate::runtime::tar::{self, Owner};
use crate::runtime::{Build, Container, Image, Volume};
use futures_util::StreamExt;
use layers::dockerfile;
use probe::Probe;
use std::collections::BTreeMap;

/// Label on an image: the check-in that it was built from; see `dockerfiles/cpython.hbs`.
const REVISION_LABEL: &str = "org.pybots.revision";

/// Builds the image and fills the report.
pub async fn build(host: &Host, attempt: &str, spec: &BuildSpec, log: &Log, report: &mut Report) -> Result<(), Stop> {
    let built = ensure(host, attempt, spec, log, report).await?;
    report.image = Some(built);
    Ok(())
}

/// The image of a spec: as this engine holds it, or built now. An image that is held has passed its
/// probe before it got its name.
pub async fn ensure(
    host: &Host,
    attempt: &str,
    spec: &BuildSpec,
    log: &Log,
    report: &mut Report,
) -> Result<BuiltImage, Stop> {
    let reference = spec.reference();
    let _held = host.images.hold(&reference).await;
    let held = host.runtime.image(&reference).await?;
    let (image, facts) = match held {
        Some(image) => {
            log.say(&format!("image {reference} is here already")).await;
            let origin = image.labels.get(REVISION_LABEL).unwrap_or(&spec.revision);
            let facts = Probe {
                host,
                attempt,
                spec,
                log,
            }
            .ask(&reference, origin, report)
            .await?;
            (image, facts)
        }
        None => {
            layers::ensure_runtime(host, &spec.distribution, log).await?;
            let holder = install(host, attempt, spec, log, report).await?;
            // two processes on one engine may build the same; each names its own
            let candidate = format!("{reference}-{attempt}");
            let image = pack(host, spec, &holder, &candidate, log).await?;
            let asked = Probe {
                host,
                attempt,
                spec,
                log,
            }
            .ask(&candidate, &spec.revision, report)
            .await;
            if asked.is_ok() {
                host.runtime.tag(&candidate, &reference).await?;
            }
            host.runtime.remove_image(&candidate).await?;
            (image, asked?)
        }
    };
    Ok(BuiltImage {
        reference,
        digest: image.id,
        size: image.size,
        facts,
    })
}

/// Configures, makes and installs into a volume; returns a container that still holds it.
async fn install(host: &Host, attempt: &str, spec: &BuildSpec, log: &Log, report: &mut Report) -> Result<String, Stop> {
    let labels = host.labels(attempt);
    let tree = format!("pybots-{attempt}-build");
    let cache = format!(
        "pybots-ccache-{}",
        spec.distribution
            .toolchain_reference()
            .rsplit(':')
            .next()
            .unwrap_or("none")
    );
    host.runtime
        .create_volume(&Volume {
            name: tree.clone(),
            size: None,
            labels: labels.clone(),
        })
        .await?;
    host.runtime
        .create_volume(&Volume {
            name: cache.clone(),
            size: None,
            labels: BTreeMap::new(),
        })
        .await?;
    let container = |script: String| Container {
        image: spec.distribution.toolchain_reference(),
        command: vec!["/bin/sh".into(), "-euc".into(), script],
        // what is installed must belong to root; without capabilities it is root of nothing else
        user: "0:0".into(),
        workdir: "/build".into(),
        env: environment(spec),
        network: None,
        volumes: vec![(tree.clone(), "/build".into()), (cache.clone(), "/ccache".into())],
        memory: host.build.memory,
        pids: host.build.pids,
        cpus: host.build.cpus,
        labels: labels.clone(),
    };
    let holder = host.runtime.create(&container("exit 0".into())).await?;
    log.say(&format!("sources of {} ({})", spec.revision, spec.version))
        .await;
    let sources = host.supply.tree(&spec.revision).await?;
    host.runtime.put(&holder, "/build", sources).await?;
    let jobs = host.build.cpus.ceil().max(1.0) as usize;
    for (name, script) in [
        ("configure", configure(spec)),
        ("make", make(spec, jobs)),
        ("install", make_install(spec)),
    ] {
        let ran = phase::run(
            host.runtime.as_ref(),
            log,
            Plan {
                name,
                container: container(script),
                timeout: host.build.timeout,
                silence: host.build.silence,
                log: host.build.log,
            },
        )
        .await?;
        report.phases.push(ran.phase);
        if !ran.end.succeeded() {
            // a disk that is full says nothing about CPython
            host.well().await.map_err(anyhow::Error::msg)?;
        }
        match ran.end {
            end if end.succeeded() => {}
            End::TimedOut(Timeout::Total) => {
                return Err(failed(format!("{name} took longer than {}", host.build.timeout), None));
            }
            End::TimedOut(Timeout::Silence) => {
                return Err(failed(
                    format!("{name} was silent and idle for {}", host.build.silence),
                    None,
                ));
            }
            End::Exited(exit) if exit.out_of_memory => {
                return Err(failed(
                    format!("{name} needs more memory than {}", host.build.memory),
                    Some(exit.code),
                ));
            }
            End::Exited(exit) => {
                return Err(failed(
                    format!("{name} ended with exit code {}", exit.code),
                    Some(exit.code),
                ));
            }
        }
    }
    Ok(holder)
}

fn failed(reason: String, exit_code: Option<i64>) -> Stop {
    Stop::Ended(Outcome::SetupFailed { reason, exit_code })
}

/// Makes the image: the install root on the runtime image.
async fn pack(host: &Host, spec: &BuildSpec, holder: &str, tag: &str, log: &Log) -> Result<Image, Stop> {
    log.say("packing the image").await;
    let data = serde_json::json!({ "runtime": spec.distribution.runtime_reference(), "build": spec });
    let text = dockerfile("cpython", &data)?;
    // the Dockerfile goes first, then the install root just as the engine streams it
    let head = tar::open_ended(Owner::Root, &[("Dockerfile", text.as_bytes(), false)]);
    // nothing but /usr/local gets into the image, whatever the tree installs elsewhere
    let root = host.runtime.get(holder, "/build/image/usr/local").await?;
    let context = tar::stream(head).chain(root).boxed();
    let build = Build {
        tag: tag.to_owned(),
        context,
        args: BTreeMap::new(),
        network: "none".to_owned(),
    };
    let image = layers::build_logged(host, build, log).await?;
    host.runtime.remove(holder).await?;
    Ok(image)
}

fn environment(spec: &BuildSpec) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from(
        [
            ("CCACHE_DIR", "/ccache"),
            ("CCACHE_MAXSIZE", "5G"),
            ("CCACHE_COMPILERCHECK", "content"),
            ("HOME", "/build"),
            ("LC_ALL", "C.UTF-8"),
            // here `gcc` is the compiler cache: CPython records the compiler's plain name
            ("PATH", "/usr/lib/ccache:/usr/local/bin:/usr/bin:/bin"),
            ("SOURCE_DATE_EPOCH", "1000000000"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    env.extend(spec.profile.env.clone());
    env
}

fn configure(spec: &BuildSpec) -> String {
    let mut lines = vec!["cd /build/src".to_owned()];
    lines.extend(spec.profile.touch.iter().map(|path| format!("touch {}", quote(path))));
    lines.extend(spec.profile.prepare.iter().cloned());
    let flags: String = spec
        .profile
        .configure
        .iter()
        .map(|flag| format!(" {}", quote(flag)))
        .collect();
    lines.push(format!("./configure --prefix=/usr/local{flags}"));
    lines.join("\n")
}

/// The id that is compiled in, by whichever name the era's Makefile calls it.
fn make(spec: &BuildSpec, jobs: usize) -> String {
    let revision = probe::compiled_in(&spec.revision);
    let arguments: String = spec
        .profile
        .make
        .iter()
        .map(|argument| format!(" {}", quote(argument)))
        .collect();
    format!(
        "cd /build/src\nmake -j{jobs} GITVERSION='echo {revision}' GITTAG='echo {branch}' GITBRANCH='echo {branch}' \
         HGVERSION='echo {revision}' HGTAG='echo {branch}' HGBRANCH='echo {branch}' SVNVERSION='echo {revision}'{arguments}",
        branch = spec.branch,
    )
}

fn make_install(spec: &BuildSpec) -> String {
    let mut lines = vec![
        make(spec, 1).replace("make -j1", "make install DESTDIR=/build/image"),
        "cd /build/image".to_owned(),
        // nothing links against it in a container, and it is a third of the install
        "find . -name 'libpython*.a' -delete".to_owned(),
        "find . -type f \\( -name '*.so' -o -perm -100 -path './usr/local/bin/*' \\) -exec strip --strip-debug {} + 2>/dev/null || true"
            .to_owned(),
        format!("ln -sf {} usr/local/bin/python", quote(&spec.profile.python)),
    ];
    lines.extend(spec.profile.finish.iter().cloned());
    lines.join("\n")
}

/// A word for the shell.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quote("--with-x=a b"), "'--with-x=a b'");
        assert_eq!(quote("it's"), "'it'\\''s'");
    }
}
