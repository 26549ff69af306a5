//! Rebuilds the program when a file in the folders that it embeds changes.

fn main() {
    for folder in ["dockerfiles", "images", "projects", "src/store/migrations", "src/web"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
