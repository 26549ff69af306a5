//! Tables of names: the distributions of modules, and the options, fixtures, marks and settings of pytest plugins.

use crate::domain::package::normalized;

/// Modules whose distribution has another name.
const MODULES: &[(&str, &str)] = &[
    ("OpenSSL", "pyopenssl"),
    ("PIL", "pillow"),
    ("_pytest", "pytest"),
    ("_yaml", "pyyaml"),
    ("attr", "attrs"),
    ("backports.zoneinfo", "backports.zoneinfo"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("distutils", "setuptools"),
    ("docutils", "docutils"),
    ("dotenv", "python-dotenv"),
    ("elftools", "pyelftools"),
    ("flask_sqlalchemy", "flask-sqlalchemy"),
    ("fs", "pyfakefs"),
    ("git", "gitpython"),
    ("google.protobuf", "protobuf"),
    ("grpc", "grpcio"),
    ("jose", "python-jose"),
    ("jwt", "pyjwt"),
    ("ldap", "python-ldap"),
    ("lz4", "lz4"),
    ("magic", "python-magic"),
    ("markdown", "markdown"),
    ("memcache", "python-memcached"),
    ("mock", "mock"),
    ("multipart", "python-multipart"),
    ("nacl", "pynacl"),
    ("pkg_resources", "setuptools<81"),
    ("psycopg2", "psycopg2-binary"),
    ("py", "py"),
    ("pyximport", "cython"),
    ("Cython", "cython"),
    ("pylab", "matplotlib"),
    ("ruamel", "ruamel.yaml"),
    ("ruamel.yaml", "ruamel.yaml"),
    ("serial", "pyserial"),
    ("simple_websocket", "simple-websocket"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("socks", "pysocks"),
    ("sphinx_rtd_theme", "sphinx-rtd-theme"),
    ("twisted", "twisted"),
    ("typing_extensions", "typing-extensions"),
    ("usb", "pyusb"),
    ("websocket", "websocket-client"),
    ("pythoncom", ""),
    ("pywintypes", ""),
    ("win32api", ""),
    ("win32con", ""),
    ("win32file", ""),
    ("win32process", ""),
    ("wmi", ""),
    ("winreg", ""),
    ("xdist", "pytest-xdist"),
    ("yaml", "pyyaml"),
    ("zmq", "pyzmq"),
];

/// Top-level names of modules that many distributions share. The names of these distributions contain both parts.
const NAMESPACES: [&str; 6] = ["google", "zope", "ruamel", "azure", "backports", "jaraco"];

/// Names that projects give to modules of their own tests. A distribution of that name would be unrelated.
const OF_PROJECTS: [&str; 24] = [
    "app",
    "base",
    "common",
    "config",
    "conftest",
    "constants",
    "data",
    "examples",
    "fixtures",
    "helper",
    "helpers",
    "main",
    "mocks",
    "models",
    "settings",
    "setup",
    "src",
    "support",
    "testing",
    "testlib",
    "testutil",
    "testutils",
    "util",
    "utils",
];

/// Returns the distribution that contains a module. Returns `None` if there is none for Linux, or if projects give this
/// name to modules of their tests.
pub fn distribution(module: &str) -> Option<String> {
    let top = module.split('.').next().unwrap_or(module);
    let two: Vec<&str> = module.splitn(3, '.').take(2).collect();
    let find = |name: &str| MODULES.iter().find(|(module, _)| *module == name);
    if let Some((_, distribution)) = find(&two.join(".")).or_else(|| find(top)) {
        return (!distribution.is_empty()).then(|| (*distribution).to_owned());
    }
    let is_own = top.starts_with("test_") || top.ends_with("_test") || top.starts_with("tests") || top == "test";
    if is_own || OF_PROJECTS.contains(&top) {
        return None;
    }
    if NAMESPACES.contains(&top) {
        return (two.len() == 2).then(|| two.join("-").replace('_', "-").to_lowercase());
    }
    let is_name = !top.is_empty() && top.len() <= 64 && top.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name && !top.starts_with('_')).then(|| normalized(top))
}

/// A plugin of pytest, with the names that it adds.
pub struct Plugin {
    pub distribution: &'static str,
    /// Whether results stay the same without the plugin, because it measures, reports, or checks style.
    pub is_dispensable: bool,
    /// The beginnings of the plugin's options.
    options: &'static [&'static str],
    fixtures: &'static [&'static str],
    marks: &'static [&'static str],
    settings: &'static [&'static str],
}

macro_rules! plugins {
    ($($distribution:literal $dispensable:literal [$($option:literal)*] [$($fixture:literal)*] [$($mark:literal)*] [$($setting:literal)*];)*) => {
        const PLUGINS: &[Plugin] = &[$(Plugin {
            distribution: $distribution,
            is_dispensable: $dispensable,
            options: &[$($option),*],
            fixtures: &[$($fixture),*],
            marks: &[$($mark),*],
            settings: &[$($setting),*],
        }),*];
    };
}

// distribution, whether it is dispensable, options, fixtures, marks, settings
plugins! {
    "pytest-cov" true ["--cov" "--no-cov"] ["cov"] ["no_cover"] [];
    "pytest-xdist" true ["-n" "--dist" "--numprocesses" "--maxprocesses" "--tx" "--max-worker-restart"] ["worker_id" "testrun_uid"] ["xdist_group"] [];
    "pytest-mock" false [] ["mocker" "class_mocker" "module_mocker" "session_mocker"] [] ["mock_use_standalone_module"];
    "pytest-asyncio" false ["--asyncio-mode"] ["event_loop" "unused_tcp_port"] ["asyncio"] ["asyncio_mode" "asyncio_default_fixture_loop_scope"
        "asyncio_default_test_loop_scope"];
    "anyio" false [] ["anyio_backend" "free_tcp_port"] ["anyio"] ["anyio_mode"];
    "pytest-trio" false [] ["nursery" "autojump_clock" "mock_clock"] ["trio"] ["trio_mode"];
    "pytest-timeout" false ["--timeout" "--session-timeout"] [] ["timeout"] ["timeout" "timeout_method" "timeout_func_only"];
    "pytest-benchmark" false ["--benchmark"] ["benchmark"] ["benchmark"] [];
    "pytest-codspeed" true ["--codspeed"] [] ["codspeed"] [];
    "pytest-rerunfailures" false ["--reruns" "--only-rerun" "--rerun-except"] [] [] ["reruns"];
    "pytest-randomly" true ["--randomly" "-p randomly"] [] [] [];
    "pytest-random-order" true ["--random-order"] [] ["random_order"] [];
    "pytest-sugar" true ["--force-sugar"] [] [] [];
    "pytest-html" true ["--html" "--self-contained-html"] [] [] [];
    "pytest-github-actions-annotate-failures" true [] [] [] [];
    "pytest-httpbin" false [] ["httpbin" "httpbin_secure" "httpbin_both" "httpbin_ca_bundle"] [] [];
    "pytest-httpserver" false [] ["httpserver"] [] [];
    "pytest-httpx" false [] ["httpx_mock"] ["httpx_mock"] [];
    "pytest-localserver" false [] ["smtpserver"] [] [];
    "requests-mock" false [] ["requests_mock"] [] [];
    "respx" false [] ["respx_mock"] ["respx"] [];
    "pytest-aiohttp" false ["--aiohttp"] ["aiohttp_client" "aiohttp_server"] [] [];
    "pytest-django" false ["--ds" "--reuse-db" "--nomigrations" "--create-db"] ["django_db_setup" "django_user_model" "live_server" "django_assert_num_queries"]
        ["django_db"] ["DJANGO_SETTINGS_MODULE" "django_find_project"];
    "pytest-flask" false [] [] [] [];
    "pytest-env" false [] [] [] ["env"];
    "pytest-subtests" false [] ["subtests"] [] [];
    "pytest-datadir" false [] ["shared_datadir" "datadir" "lazy_shared_datadir"] [] [];
    "pytest-regressions" false ["--force-regen"] ["data_regression" "file_regression" "num_regression"] [] [];
    "syrupy" false ["--snapshot"] ["snapshot"] [] [];
    "inline-snapshot" false ["--inline-snapshot"] [] [] [];
    "pyfakefs" false [] ["fs" "fs_class"] [] [];
    "pytest-freezer" false [] ["freezer"] ["freeze_time"] [];
    "pytest-socket" false ["--disable-socket" "--allow-hosts" "--allow-unix-socket" "--force-enable-socket"] ["socket_enabled" "socket_disabled"] ["enable_socket"
        "disable_socket" "allow_hosts"] [];
    "pytest-forked" false ["--forked"] [] ["forked"] [];
    "pytest-repeat" false ["--count"] [] ["repeat"] [];
    "pytest-order" false ["--order"] [] ["order"] [];
    "pytest-xprocess" false [] ["xprocess"] [] [];
    "pytest-console-scripts" false ["--script-launch-mode"] ["script_runner"] ["script_launch_mode"] ["script_launch_mode"];
    "pytest-qt" false [] ["qtbot"] [] ["qt_api"];
    "pytest-recording" false ["--record-mode" "--block-network"] [] ["vcr" "block_network"] [];
    "pytest-remotedata" false ["--remote-data"] [] ["remote_data" "internet_off"] [];
    "pytest-doctestplus" false ["--doctest-plus" "--doctest-rst" "--doctest-ufunc"] [] [] ["doctest_plus"];
    "pytest-mpl" false ["--mpl"] [] ["mpl_image_compare"] [];
    "pytest-run-parallel" false ["--parallel-threads" "--iterations"] ["num_parallel_threads"] ["thread_unsafe" "parallel_threads"] [];
    "pytest-memray" true ["--memray"] [] ["limit_memory" "limit_leaks"] [];
    "pytest-retry" false ["--retries"] [] [] [];
    "pytest-instafail" true ["--instafail"] [] [] [];
    "pytest-split" true ["--splits" "--durations-path"] [] [] [];
    "pytest-pretty" true ["--pretty"] [] [] [];
    "pytest-ruff" true ["--ruff"] [] [] [];
    "pytest-flake8" true ["--flake8"] [] [] [];
    "pytest-black" true ["--black"] [] [] [];
    "pytest-isort" true ["--isort"] [] [] [];
    "pytest-mypy" true ["--mypy"] [] [] [];
    "pytest-mypy-plugins" false [] [] [] [];
    "pytest-pylint" true ["--pylint"] [] [] [];
    "pytest-checkdocs" true ["--checkdocs"] [] [] [];
    "pytest-enabler" true [] [] [] [];
    "hypothesis" false ["--hypothesis"] [] ["hypothesis"] [];
}

/// Returns the plugin to which an option of pytest belongs. Returns `None` for options of pytest itself.
pub fn of_option(option: &str) -> Option<&'static Plugin> {
    let name = option.split('=').next().unwrap_or(option);
    PLUGINS.iter().find(|plugin| {
        plugin.options.iter().any(|start| match start.len() {
            2 => option.starts_with(start) && !option.starts_with("--"),
            _ => name == *start || name.strip_prefix(start).is_some_and(|rest| rest.starts_with('-')),
        })
    })
}

/// Returns the plugin that `-p NAME` loads.
pub fn of_plugin_module(name: &str) -> Option<&'static Plugin> {
    let name = normalized(name);
    PLUGINS
        .iter()
        .find(|plugin| plugin.distribution == name || plugin.distribution.strip_prefix("pytest-") == Some(&name))
}

/// Returns the plugin that defines a fixture.
pub fn of_fixture(fixture: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.fixtures.contains(&fixture))
}

/// Returns the plugin that defines a mark.
pub fn of_mark(mark: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.marks.contains(&mark))
}

/// Returns the plugin that defines a setting.
pub fn of_setting(setting: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.settings.contains(&setting))
}

/// Returns whether a distribution checks style, builds documents or publishes. No test needs it.
pub fn is_of_no_test(distribution: &str) -> bool {
    const NAMES: &[&str] = &[
        "black",
        "build",
        "bump2version",
        "bumpversion",
        "check-manifest",
        "codecov",
        "codespell",
        "coverage",
        "coveralls",
        "docformatter",
        "flake8",
        "furo",
        "hatch",
        "isort",
        "mkdocs",
        "mkdocs-material",
        "mypy",
        "nox",
        "pdm",
        "pip",
        "pip-tools",
        "poetry",
        "pre-commit",
        "pyflakes",
        "pycodestyle",
        "pydocstyle",
        "pylint",
        "pyright",
        "pyupgrade",
        "readme-renderer",
        "reno",
        "ruff",
        "scriv",
        "sphinx",
        "tox",
        "tox-uv",
        "towncrier",
        "twine",
        "uv",
        "virtualenv",
        "wheel",
        "zest-releaser",
        "pytest-cov",
        "diff-cover",
        "bandit",
    ];
    let name = normalized(distribution);
    let starts = ["types-", "sphinx-", "sphinxcontrib-", "flake8-", "mkdocs-", "mypy-"];
    NAMES.contains(&name.as_str()) || starts.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_the_names_of_their_distributions() {
        for (module, name) in [
            ("yaml", Some("pyyaml")),
            ("yaml.scanner", Some("pyyaml")),
            ("google.protobuf.message", Some("protobuf")),
            ("google.cloud", Some("google-cloud")),
            ("zope.interface.tests", Some("zope-interface")),
            ("flask_login", Some("flask-login")),
            ("winreg", None),
            ("_hidden", None),
            ("jaraco", None),
            ("jaraco.functools", Some("jaraco-functools")),
            ("test_load", None),
            ("tests_common", None),
            ("helpers", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(distribution(module).as_deref(), name, "{module}");
        }
    }

    #[test]
    fn options_belong_to_their_plugins() {
        for (option, name) in [
            ("-n", Some("pytest-xdist")),
            ("-nauto", Some("pytest-xdist")),
            ("--numprocesses=4", Some("pytest-xdist")),
            ("--cov=demo", Some("pytest-cov")),
            ("--cov-report=xml", Some("pytest-cov")),
            ("--no-cov", Some("pytest-cov")),
            ("--benchmark-disable", Some("pytest-benchmark")),
            ("--no-header", None),
            ("--color=yes", None),
            ("--durations=10", None),
            ("-rfE", None),
            ("--count", Some("pytest-repeat")),
        ] {
            assert_eq!(of_option(option).map(|plugin| plugin.distribution), name, "{option}");
        }
    }

    #[test]
    fn each_name_is_in_one_plugin() {
        type List = fn(&'static Plugin) -> &'static [&'static str];
        let lists: [List; 4] = [
            |plugin| plugin.options,
            |plugin| plugin.fixtures,
            |plugin| plugin.marks,
            |plugin| plugin.settings,
        ];
        for list in lists {
            let mut names: Vec<&str> = PLUGINS.iter().flat_map(list).copied().collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
