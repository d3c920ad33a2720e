//! The parts of documents that chores write: what stands between two marker comments.

use std::path::Path;

use crate::Result;

/// Replaces what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->` in a file.
pub(crate) fn replace_block(path: &Path, name: &str, block: &str) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let replaced = with_block(&text, name, block).ok_or_else(|| format!("{} has no {name} markers", path.display()))?;
    Ok(std::fs::write(path, replaced)?)
}

fn with_block(text: &str, name: &str, block: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", block.trim()))
}

/// What stands between the markers, or nothing.
pub(crate) fn block_of(path: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let inside = text.split_once(&format!("<!-- {name}:begin -->")).map_or("", |(_, rest)| rest);
    inside.split_once(&format!("<!-- {name}:end -->")).map_or("", |(block, _)| block).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_replaced_between_its_markers_only() {
        let text = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nz\n";
        let once = with_block(text, "x", "new\n").unwrap();
        assert_eq!(once, "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nz\n");
        assert_eq!(with_block(&once, "x", "new").unwrap(), once);
        assert_eq!(with_block(text, "y", "new"), None);
    }
}
