//! Writes every kind's CustomResourceDefinition as one YAML file into the folder given.
//!
//! `make generate` runs it on `crds/yaml`; `make lint` fails when the files are not up to date.

use std::{error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("usage: crdgen FOLDER: the folder that the YAML files are written into")?
        .into();
    fs::create_dir_all(&folder)?;
    for crd in crds::all() {
        let file = folder.join(format!("{}.yaml", crd.spec.names.plural));
        fs::write(&file, crds::to_yaml(&crd)?)?;
        println!("{}", file.display());
    }
    Ok(())
}
