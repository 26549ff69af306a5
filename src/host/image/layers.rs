//! The images below CPython (base, toolchain, runtime), and the one above it with a project's packages.

use super::dockerfile::{Packages, PackagesImage};
use crate::domain::address::StreamMask;
use crate::domain::digest::digest;
use crate::domain::job::RunSpec;
use crate::domain::outcome::Outcome;
use crate::domain::profile::Distribution;
use crate::host::log::Log;
use crate::host::unique::unique_name;
use crate::host::{Host, Stop};
use crate::logfile::Stream;
use crate::runtime::tar::{self, FileOwner};
use crate::runtime::{EngineImage, ImageBuild, RuntimeError, Transfer};
use anyhow::anyhow;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// Builds the toolchain and the runtime image if the engine lacks them. Returns the runtime image.
pub async fn ensure_runtime(host: &Host, distribution: &Distribution, log: &Log) -> Result<EngineImage, Stop> {
    ensure_toolchain(host, distribution, log).await?;
    let reference = distribution.runtime_reference();
    let _held = host.images.hold(&reference).await;
    if let Some(image) = host.runtime.image(&reference).await? {
        return Ok(image);
    }
    let (base, base_id) = base(host, distribution, log).await?;
    let image = PackagesImage::Runtime {
        toolchain: &distribution.toolchain_reference(),
        base_id: &base_id,
    };
    build_packages(host, image, (&base, &distribution.runtime), &reference, log).await?;
    let image = host.runtime.image(&reference).await?;
    Ok(image.ok_or_else(|| anyhow!("the engine lost {reference}, which it has just built"))?)
}

pub async fn ensure_toolchain(host: &Host, distribution: &Distribution, log: &Log) -> Result<(), Stop> {
    let reference = distribution.toolchain_reference();
    let _held = host.images.hold(&reference).await;
    if host.runtime.image(&reference).await?.is_some() {
        return Ok(());
    }
    let (base, base_id) = base(host, distribution, log).await?;
    let image = PackagesImage::Toolchain {
        uv: &distribution.uv,
        base_id: &base_id,
    };
    build_packages(host, image, (&base, &distribution.toolchain), &reference, log).await
}

/// Returns the image that a run starts from: CPython's, or one with the packages that the recipe asks for, which is
/// built if the engine lacks it.
pub async fn ensure_project(host: &Host, spec: &RunSpec, log: &Log) -> Result<String, Stop> {
    let cpython = &spec.image.reference;
    if spec.system.is_empty() {
        return Ok(cpython.clone());
    }
    let asked = serde_json::json!([cpython, spec.system]).to_string();
    let reference = format!("pybots/project:{}", &digest(&[asked.as_bytes()])[..24]);
    let _held = host.images.hold(&reference).await;
    if host.runtime.image(&reference).await?.is_none() {
        let base = spec.distribution.runtime_reference();
        let image = PackagesImage::Project {
            cpython,
            build_key: &spec.image.build.build_key,
        };
        build_packages(host, image, (&base, &spec.system), &reference, log).await?;
    }
    Ok(reference)
}

/// Returns the reference and the content id of the base image: of the bootstrapped one if the engine holds it, or else of the one of
/// the settings, which is pulled if need be.
async fn base(host: &Host, distribution: &Distribution, log: &Log) -> Result<(String, String), Stop> {
    for reference in [&distribution.bootstrapped, &distribution.base] {
        if let Some(image) = host.runtime.image(reference).await? {
            return Ok((reference.clone(), image.id));
        }
    }
    log.say(&format!("pulling {}", distribution.base)).await;
    let transfer = Transfer {
        reference: distribution.base.clone(),
        login: None,
    };
    // a base is small: the log shows no progress
    match host.runtime.pull(&transfer, mpsc::channel(1).0).await {
        Ok(()) => {
            let image = host.runtime.image(&distribution.base).await?;
            let image =
                image.ok_or_else(|| anyhow!("the engine lost {}, which it has just pulled", distribution.base))?;
            Ok((distribution.base.clone(), image.id))
        }
        Err(error @ (RuntimeError::Unreachable { .. } | RuntimeError::DiskFull(_))) => Err(error.into()),
        Err(error) => Err(anyhow!(
            "there is no base image {} and {} can't be pulled ({error}); run scripts/setup, which bootstraps one",
            distribution.bootstrapped,
            distribution.base
        )
        .into()),
    }
}

/// Builds an image with packages on a base, and removes its stages. Packages of a project that can't be installed are
/// an error of the recipe.
async fn build_packages(
    host: &Host,
    image: PackagesImage<'_>,
    (base, packages): (&str, &[String]),
    tag: &str,
    log: &Log,
) -> Result<(), Stop> {
    log.say(&format!("building {tag}")).await;
    let ca = host.ca().await?;
    // a unique name: the clean-up after one build must not touch the stages of another, even of another process
    let stage = unique_name();
    let text = image.dockerfile(Packages {
        base,
        packages,
        ca: ca.is_some(),
        stage: &stage,
    })?;
    let mut files: Vec<(&str, &[u8], bool)> = vec![("Dockerfile", text.as_bytes(), false)];
    if let Some(ca) = &ca {
        files.push(("ca.crt", ca, false));
    }
    let build = ImageBuild {
        tag: tag.to_owned(),
        context: tar::stream(tar::files(FileOwner::Root, &files)),
        args: host.network.with_logins(None),
        network: host.engine.network.clone(),
    };
    let mut tail = Vec::new();
    let built = build_logged(host, build, log, &mut tail).await;
    // also after a failed build, because its stages hold the CA bundle
    host.runtime.prune_images(&format!("org.pybots.stage={stage}")).await?;
    match (built, uninstallable(&tail)) {
        // the packages of a project are its recipe's choice
        (Err(Stop::Runtime(RuntimeError::BuildFailed(_))), Some(line))
            if matches!(image, PackagesImage::Project { .. }) =>
        {
            let reason = format!("`system` names packages that the distribution can't install: {line}");
            Err(Stop::Ended(Outcome::RecipeError { reason }))
        }
        (built, _) => built.map(drop),
    }
}

/// Messages of apt for packages that do not exist, or that can't be installed together.
const NOT_INSTALLABLE: [&str; 4] = [
    "Unable to locate package",
    "has no installation candidate",
    "held broken packages",
    "unmet dependencies",
];

/// Messages of dpkg for a package whose own scripts fail, or whose files belong to another package. Such a package
/// fails in every build.
const NOT_CONFIGURABLE: [&str; 4] = [
    "dpkg: error processing package ",
    "dpkg: error processing archive ",
    "dpkg: dependency problems prevent configuration of ",
    "Sub-process /usr/bin/dpkg returned an error code",
];

/// Messages for a failure of the network, the mirror or the disk, which may break packages, too.
const OF_MACHINE: [&str; 8] = [
    "killed by signal (Killed)",
    "Failed to fetch ",
    "Temporary failure resolving",
    "Could not resolve ",
    "Could not connect to ",
    "Hash Sum mismatch",
    "No space left on device",
    "Cannot allocate memory",
];

/// Returns the line of a build's output that says why its packages can't be installed, or `None` if something else
/// failed.
fn uninstallable(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let find = |signs: &[&str]| text.lines().find(|line| signs.iter().any(|sign| line.contains(sign)));
    // without a list of the mirror, apt goes on and does not find packages
    if find(&OF_MACHINE).is_some() {
        return None;
    }
    // in this order, because the first ones name the package
    let of_scripts = || NOT_CONFIGURABLE.iter().find_map(|sign| find(&[sign]));
    let line = find(&NOT_INSTALLABLE).or_else(of_scripts)?;
    Some(line.trim().chars().filter(|c| !c.is_control()).take(300).collect())
}

/// The size in bytes of the tail of a build's output. At least its last half is kept.
const TAIL: usize = 64 << 10;

/// Builds an image. The output goes to the attempt's log, and its end to `tail`. Fails if the build takes longer than
/// the host allows.
async fn build_logged(host: &Host, build: ImageBuild, log: &Log, tail: &mut Vec<u8>) -> Result<EngineImage, Stop> {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(64);
    let mut mask = StreamMask::new(&host.secrets);
    let forward = async {
        while let Some(bytes) = receiver.recv().await {
            let bytes = Bytes::from(mask.take(&bytes));
            tail.extend_from_slice(&bytes);
            if tail.len() > TAIL {
                tail.drain(..tail.len() - TAIL / 2);
            }
            log.write(Stream::Stdout, bytes).await;
        }
        log.write(Stream::Stdout, mask.finish().into()).await;
    };
    let both = async { tokio::join!(host.runtime.build(build, sender), forward).0 };
    let most = Duration::from_secs(host.build.timeout.0);
    let built = tokio::time::timeout(most, both).await;
    Ok(built.map_err(|_| anyhow!("the engine took longer than {} to build an image", host.build.timeout))??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_does_not_exist_is_found_in_the_output() {
        let output = b"Reading state..\nE: Unable to locate package no-such\x1b[0m\nE: exit code 100\n";
        let line = uninstallable(output).unwrap();
        assert_eq!(line, "E: Unable to locate package no-such[0m");
        assert_eq!(uninstallable(b"E: Failed to fetch http://deb.example.org"), None);
    }

    #[test]
    fn a_package_whose_scripts_fail_is_named() {
        let output = "Setting up resolvconf (1.91+nmu1) ...\ndpkg: error processing package resolvconf (--configure):\n installed \
                      resolvconf package post-installation script subprocess returned error exit status 1\nErrors were encountered while \
                      processing:\n resolvconf\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n";
        assert_eq!(
            uninstallable(output.as_bytes()).unwrap(),
            "dpkg: error processing package resolvconf (--configure):"
        );
        let archive = "dpkg: error processing archive /var/cache/apt/archives/x_1_amd64.deb (--unpack):\n trying to overwrite '/usr/bin/x'\n";
        assert!(uninstallable(archive.as_bytes()).unwrap().contains("archive /var"));
        // a machine without room breaks any package
        for machine in [
            "cannot copy extracted data for './x' to '/x.dpkg-new': failed to write (No space left on device)",
            "E: Failed to fetch http://deb.example.org/x.deb  Hash Sum mismatch",
        ] {
            assert_eq!(uninstallable(format!("{archive}{machine}\n").as_bytes()), None);
        }
        for other in [
            "",
            "Killed\n",
            "The command returned a non-zero code: 100\n",
            "sh: 1: apt-get: not found\n",
        ] {
            assert_eq!(uninstallable(other.as_bytes()), None);
        }
    }
}
