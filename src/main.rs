//! The command line of moue.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
