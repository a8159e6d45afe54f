//! `images`: writes the archives of Meltemi's two images, `meltemi.tar` and `init.tar`, and prints what they are.

use anyhow::Context;
use clap::Parser;
use images::ours;
use std::path::PathBuf;

/// Writes Meltemi's container images.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program `meltemi` to pack.
    #[arg(long)]
    program: PathBuf,
    /// The folder for the archives; made when missing.
    #[arg(long)]
    out: PathBuf,
    /// Leave layers uncompressed: quicker, larger.
    #[arg(long)]
    uncompressed: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.out).with_context(|| format!("make {}", arguments.out.display()))?;
    let both = [("meltemi.tar", ours::meltemi(&arguments.program)?), ("init.tar", ours::init(&arguments.program)?)];
    for (file, image) in both {
        let image = if arguments.uncompressed { image.uncompressed() } else { image };
        let path = arguments.out.join(file);
        let written = image.write(&path)?;
        let (packed, unpacked) = (mebibytes(written.archive_bytes), mebibytes(written.unpacked_bytes));
        println!("{}  {packed} MiB ({unpacked} MiB unpacked)  {}  {}", written.name, written.digest, path.display());
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}
