//! `meltemi`. Its commands are a library, which is built for size: the level of this crate is that of the whole program.

fn main() -> std::process::ExitCode {
    cli::main()
}
