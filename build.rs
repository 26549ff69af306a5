//! The program carries these folders: a change in one is a change of the program.

fn main() {
    for folder in ["dockerfiles", "images", "projects", "src/store/migrations", "src/web"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
