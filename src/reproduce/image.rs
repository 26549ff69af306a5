//! Builds the image of a revision again, without build trees and layers.

use super::network::{CA, NETWORK};
use crate::domain::job::BuildSpec;
use crate::host::{from_scratch, quote};

/// The folder of a build inside its container.
const BUILD: &str = "/build";

/// Returns the lines of a script that builds the image of a revision with the flags of its profile, imports its modules
/// as a check, and leaves its name in `$image`. The lines need `$ca`.
pub(super) fn rebuild(build: &BuildSpec, git: &str) -> String {
    let distribution = &build.distribution;
    let mut packages: Vec<&str> = distribution
        .toolchain
        .iter()
        .chain(&distribution.runtime)
        .map(String::as_str)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let arguments: String = NETWORK.iter().map(|name| format!(" --build-arg {name}")).collect();
    // images that Pybots made are preferred if the machine has them, because the packages are already installed there
    let bases = [distribution.toolchain_reference(), distribution.bootstrapped.clone()]
        .iter()
        .map(|image| {
            format!(
                "if docker image inspect {0} >/dev/null 2>&1; then base={0}; fi\n",
                quote(image)
            )
        })
        .rev()
        .collect::<String>();
    format!(
        "folder=$(mktemp -d)\n\
         git clone --quiet --no-checkout -- {git} \"$folder/src\"\n\
         git -C \"$folder/src\" checkout --quiet --detach {revision}\n\
         cat >\"$folder/build.sh\" <<'BUILD'\n{steps}\nBUILD\n\
         cat >\"$folder/Dockerfile\" <<'DOCKERFILE'\n\
         ARG BASE={base}\n\
         FROM $BASE\n\
         ARG PIP_CERT\n\
         ARG PIP_INDEX_URL\n\
         RUN apt-get update && apt-get install -y --no-install-recommends {packages}\n\
         COPY build.sh ca.cr[t] {BUILD}/\n\
         COPY src {BUILD}/src\n\
         RUN sh {BUILD}/build.sh && cp -a {BUILD}/root/usr/local/. /usr/local/ && ldconfig\n\
         RUN for module in {modules}; do {python} -c \"import $module\" || exit 1; done\n\
         RUN mkdir -p /opt/pybots/bin && /usr/bin/pip install --break-system-packages --target /opt/pybots/uv uv=={uv} && cp /opt/pybots/uv/bin/uv /opt/pybots/bin/ && rm -rf {BUILD}\n\
         DOCKERFILE\n\
         if [ -n \"$ca\" ]; then cp \"$ca\" \"$folder{CA}\"; fi\n\
         base={base}\n\
         {bases}\
         image=pybots-reproduce:{key}\n\
         docker build --build-arg BASE=\"${{BASE:-$base}}\"{arguments} \
         ${{ca:+--build-arg=PIP_CERT={BUILD}{CA}}} -t \"$image\" \"$folder\"\n",
        git = quote(git),
        revision = quote(&build.revision),
        steps = from_scratch(build, 4),
        base = distribution.base,
        packages = packages.join(" "),
        uv = distribution.uv,
        modules = build.profile.modules.join(" "),
        python = build.profile.python,
        key = &build.build_key[..24.min(build.build_key.len())],
    )
}
