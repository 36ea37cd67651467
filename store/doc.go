// Package store keeps what was declared and what was observed, in one bbolt file.
//
// # Guarantees
//
//   - A call that returned nil is on disk: its transaction was committed and synced. A call that returned ErrNotWritable
//     changed nothing that anybody is shown, unless its very last sync failed: then it may have happened, and is shown.
//     Concurrent calls share one sync; a lone call waits for nobody.
//   - A store that could not be written tries by itself, every two seconds, whether it can be again.
//   - Every change of a container has a revision of its own, without gaps, over all containers. What Get, List and a
//     Watch show has been committed; they never block on the disk, and a change is visible before its call returns.
//   - Spec and status are written apart: a declaration never loses an observation and the other way round.
//   - A Record handed out is shared and never changes; who edits one gets a copy whose maps, slices and pointers must be
//     replaced as a whole.
//   - One process has the file; a second Open gives ErrInUse.
//   - A file that is damaged is refused before anything of it is relied upon: it neither ends the process nor keeps it busy for
//     ever. A record that is damaged is moved into quarantine, and all others are there.
//   - What replaces a file (a backup, a restore, a new store) is there whole or not at all. Resource versions of a store that was
//     replaced mean nothing to the one in its place.
//   - Deletions do not add up. Of those of the last 30 days the newest 10,000 leave a tombstone, and what one more costs does not
//     depend on how many there are.
//   - A file of 1 MiB or more of which more than half is free is made smaller by Open: another one takes its place, whole or not
//     at all, that is the same store with the same resource versions.
//   - A file of an older format is copied before it is changed, in one transaction, into one of this format.
//
// # Formats
//
// This is format 2. In format 1 a record was one flat group: a count of explicit starts, one failure, one deadline of a stop, and
// no sign of a replacement but what it had changed so far. The migration reads each record whole: one that cannot be read, or that
// has a field that format 1 had not, goes into quarantine as it is, and stays in the format in which it was found. Check names
// these before the migration.
//
// The copy has the format in its name (flow-manager.db.format-1) and is the way back: the older version refuses the new file by
// ErrNewerFormat, and takes the copy by Restore. What was declared since is not in it.
//
// # The file
//
//	meta        format, instance, epoch, revision, engine,   what the store itself is
//	            restored                                     when, until that was accepted
//	containers  <id>                          -> JSON        declaration: name, labels, generation, spec, requests, deletion
//	status      <id>                          -> JSON        status, requests done, placements, handover, run, tracks
//	names       <name>                        -> id          live containers by name
//	tombstones  <id>                          -> JSON        what was ours of a deleted container, for 30 days, the newest 10,000
//	keys        <principal> NUL <key>         -> JSON        idempotency keys: body's hash and the result, for 24 hours
//	expiries    <unix nanoseconds, 8 bytes><key of keys>     when an idempotency key may be forgotten
//	history     <id><generation, 8 bytes>     -> JSON        what was declared before, the newest ten and what is in use
//	log         <revision, 8 bytes>           -> JSON        what changed, its durable events and how many came so far,
//	                                                          a container that it took; oldest dropped first
//
//	quarantine  <bucket>/<key>                -> JSON        records that cannot be relied upon, as they were found
//
// quarantine is there once it was needed. All except keys, expiries, history and log is mirrored in memory, so that reading
// costs no decoding; the file is read at Open and written after.
package store
