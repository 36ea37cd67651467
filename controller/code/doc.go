// Package code keeps snapshots of flows' code: copies of folders of the host, named by a digest of what is in them, and for
// each container a link to the snapshot that it runs.
//
// # Guarantees
//
//   - Whole or not there. A snapshot appears under its digest by one rename, after all of it was synced. Whatever the process
//     dies of, Open removes what was half made or half removed.
//   - What was taken is what stood there at one moment between the call of Take and its return. A tree that changes meanwhile
//     is ErrChanged, as far as the filesystem's time stamps tell: where they are coarse (4 ms is usual before Linux 6.13), a
//     file that was written in the very tick in which it was looked at may pass with a part of that write.
//   - Nothing outside of the tree is read, whatever is done to it meanwhile: each entry is opened by its single name in an open
//     folder and never through a link. The path itself must have no link in it either, so the path that a caller has judged
//     is the one that is read.
//   - Only regular files, folders, and relative links that stay in the tree. Devices, FIFOs, sockets and other links are
//     refused. A hard link becomes a file of its own, a hole zeros. Owners, times, extended attributes, setuid, setgid and
//     sticky bits are dropped; folders and files whose owner may execute them get 0755, other files 0644.
//   - Bounds are counted while reading, and nothing is left of what was over them. All snapshots together have a bound too: what
//     does not fit beside the others is not copied.
//   - A snapshot stays while a link points at it, while Collect's caller keeps it, and from Take until the release of it.
//     Where Take finds a damaged one it makes a new one and sets the damaged one aside until nobody uses the digest: flows
//     that still run on it would lose their files otherwise.
//   - Changes of links are atomic, and synced before the call returns.
//
// All methods may be called at once. One process has the folder (the store's lock sees to that). Take and Verify read all of
// the tree and end soon after their context; the rest is short, but for the removals of Collect.
//
// # The folder
//
//	<digest>/          0755  a snapshot, just as a container sees it
//	links/<name>             -> ../<digest>
//	partial/                 what is being made
//	removed/                 what is being removed
//	damaged/<digest>-*       what was found damaged while somebody may still run on it
//
// The folder itself is 0700, so on the host only its owner and root reach any of it. In a container every user reads the
// snapshot: a bind mount is resolved by the engine, and asks nothing of the folders above its source.
//
// # The digest
//
// SHA-256, in hex, over the line "flow-manager code snapshot 1", then the entries: the tree itself, with an empty path, and in
// each folder its entries in the order of their names' bytes, each followed by what is in it. An entry is one byte for its
// kind (d folder, f file, x executable file, l link) and two fields: its path, and the SHA-256 of a file's contents or a
// link's target as it stands (empty for a folder). A field is its length in eight bytes, big-endian, and so many bytes. The
// number in the line changes with any of this, so digests of two versions never meet.
package code
