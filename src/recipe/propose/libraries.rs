//! Debian packages of libraries that builds need, and of programs that builds and tests start.

/// The linker's name of a library, its package, and the beginnings of its headers' paths.
const LIBRARIES: &[(&str, &str, &[&str])] = &[
    ("archive", "libarchive-dev", &["archive.h"]),
    ("asound", "libasound2-dev", &["alsa/"]),
    ("boost", "libboost-dev", &["boost/"]),
    ("bz2", "libbz2-dev", &["bzlib.h"]),
    ("cairo", "libcairo2-dev", &["cairo.h", "cairo/"]),
    ("curl", "libcurl4-openssl-dev", &["curl/"]),
    ("dbus-1", "libdbus-1-dev", &["dbus/"]),
    ("enchant-2", "libenchant-2-dev", &["enchant.h"]),
    ("ev", "libev-dev", &["ev.h"]),
    ("event", "libevent-dev", &["event.h", "event2/"]),
    ("expat", "libexpat1-dev", &["expat.h"]),
    ("ffi", "libffi-dev", &["ffi.h", "ffi/"]),
    ("freetype", "libfreetype-dev", &["ft2build.h", "freetype2/"]),
    ("git2", "libgit2-dev", &["git2.h"]),
    ("glib-2.0", "libglib2.0-dev", &["glib.h", "glib-object.h"]),
    ("gmp", "libgmp-dev", &["gmp.h"]),
    ("gssapi_krb5", "libkrb5-dev", &["gssapi/", "gssapi.h", "krb5.h"]),
    ("hdf5", "libhdf5-dev", &["hdf5.h"]),
    ("jpeg", "libjpeg-dev", &["jpeglib.h"]),
    ("ldap", "libldap-dev", &["ldap.h", "lber.h"]),
    ("lz4", "liblz4-dev", &["lz4.h"]),
    ("lzma", "liblzma-dev", &["lzma.h"]),
    ("mpc", "libmpc-dev", &["mpc.h"]),
    ("mpfr", "libmpfr-dev", &["mpfr.h"]),
    ("mysqlclient", "default-libmysqlclient-dev", &["mysql.h", "mysql/"]),
    ("ncurses", "libncurses-dev", &["ncurses.h", "curses.h"]),
    ("openblas", "libopenblas-dev", &["cblas.h"]),
    ("pcre", "libpcre3-dev", &["pcre.h"]),
    ("pcre2-8", "libpcre2-dev", &["pcre2.h"]),
    ("png", "libpng-dev", &["png.h"]),
    ("pq", "libpq-dev", &["libpq-fe.h", "postgresql/"]),
    ("rdkafka", "librdkafka-dev", &["librdkafka/"]),
    ("readline", "libreadline-dev", &["readline/"]),
    ("sasl2", "libsasl2-dev", &["sasl/"]),
    ("snappy", "libsnappy-dev", &["snappy.h", "snappy-c.h"]),
    ("sodium", "libsodium-dev", &["sodium.h"]),
    ("sqlite3", "libsqlite3-dev", &["sqlite3.h"]),
    ("ssl", "libssl-dev", &["openssl/"]),
    ("crypto", "libssl-dev", &[]),
    ("systemd", "libsystemd-dev", &["systemd/"]),
    ("tiff", "libtiff-dev", &["tiff.h", "tiffio.h"]),
    ("usb-1.0", "libusb-1.0-0-dev", &["libusb.h", "libusb-1.0/"]),
    ("uuid", "uuid-dev", &["uuid/"]),
    ("uv", "libuv1-dev", &["uv.h"]),
    ("webp", "libwebp-dev", &["webp/"]),
    ("x11", "libx11-dev", &["X11/"]),
    ("xml2", "libxml2-dev", &["libxml/", "libxml2/"]),
    ("xslt", "libxslt1-dev", &["libxslt/", "libexslt/"]),
    ("yaml", "libyaml-dev", &["yaml.h"]),
    ("z", "zlib1g-dev", &["zlib.h"]),
    ("zlib", "zlib1g-dev", &[]),
    ("zmq", "libzmq3-dev", &["zmq.h"]),
    ("zstd", "libzstd-dev", &["zstd.h"]),
];

/// Returns the Debian package that contains a header, such as `openssl/ssl.h`.
pub fn of_header(path: &str) -> Option<&'static str> {
    let has = |start: &&str| match start.ends_with('/') {
        true => path.starts_with(start),
        false => path == *start,
    };
    let mut libraries = LIBRARIES.iter();
    libraries
        .find(|(_, _, headers)| headers.iter().any(has))
        .map(|(_, package, _)| *package)
}

/// Returns the Debian package for building with a library, given the linker's name or the common one: `jpeg`,
/// `libxml2`.
pub fn of_library(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let short = name.strip_prefix("lib").unwrap_or(&name);
    let mut libraries = LIBRARIES.iter();
    libraries
        .find(|(library, _, _)| *library == short || *library == name)
        .map(|(_, package, _)| *package)
}

/// Programs that builds and tests start, and the Debian packages that contain them.
const PROGRAMS: &[(&str, &str)] = &[
    ("git", "git"),
    ("hg", "mercurial"),
    ("svn", "subversion"),
    ("svnadmin", "subversion"),
    ("bzr", "brz"),
    ("gpg", "gnupg"),
    ("openssl", "openssl"),
    ("node", "nodejs"),
    ("less", "less"),
    ("man", "man-db"),
    ("file", "file"),
    ("zip", "zip"),
    ("unzip", "unzip"),
    ("curl", "curl"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("gettext", "gettext"),
    ("msgfmt", "gettext"),
    ("dot", "graphviz"),
    ("cmake", "cmake"),
    ("pkg-config", "pkg-config"),
    ("pkgconf", "pkg-config"),
    ("pg_config", "libpq-dev"),
    ("mysql_config", "default-libmysqlclient-dev"),
    ("xml2-config", "libxml2-dev"),
    ("xslt-config", "libxslt1-dev"),
    ("curl-config", "libcurl4-openssl-dev"),
    ("swig", "swig"),
    ("ninja", "ninja-build"),
    ("gfortran", "gfortran"),
    ("redis-server", "redis-server"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("tree", "tree"),
    ("patchelf", "patchelf"),
    ("xmllint", "libxml2-utils"),
    ("lsof", "lsof"),
];

/// Returns the Debian package that contains a program.
pub fn of_program(program: &str) -> Option<&'static str> {
    let found = PROGRAMS.iter().find(|(name, _)| *name == program);
    found.map(|(_, package)| *package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_libraries_have_packages() {
        assert_eq!(of_header("openssl/ssl.h"), Some("libssl-dev"));
        assert_eq!(of_header("ffi.h"), Some("libffi-dev"));
        assert_eq!(of_header("my/ffi.h"), None);
        assert_eq!(of_library("libxml2"), Some("libxml2-dev"));
        assert_eq!(of_library("z"), Some("zlib1g-dev"));
        assert_eq!(of_library("nothing"), None);
        assert_eq!(of_program("pg_config"), Some("libpq-dev"));
    }
}
