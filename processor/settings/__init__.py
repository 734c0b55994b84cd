"""Every setting: what there is, where it comes from, the documents that ship."""
