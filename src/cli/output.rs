//! Prints results on stdout.

/// Does what `print!` does, but ends the process quietly if the reader of stdout has gone (`| head`).
macro_rules! out {
    ($($text:tt)*) => {{
        use std::io::Write;
        $crate::cli::output::written(write!(std::io::stdout(), $($text)*));
    }};
}

/// Does what `println!` does, with the same exception as [`out!`].
macro_rules! outln {
    ($($text:tt)*) => {{
        use std::io::Write;
        $crate::cli::output::written(writeln!(std::io::stdout(), $($text)*));
    }};
}

/// Ends the process if stdout could not be written: with exit code 0 if the reader has gone, otherwise with 2.
pub fn written(result: std::io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: failed to write the result: {error}");
            std::process::exit(2);
        }
    }
}
