// Package store keeps what was declared and what was observed, in one bbolt file.
//
// # Guarantees
//
//   - A call that returned nil is on disk: its transaction was committed and synced. A call that returned ErrNotWritable
//     changed nothing. Concurrent calls share one sync; a lone call waits for nobody.
//   - Every change of a container has a revision of its own, without gaps, over all containers. What Get, List and a
//     Watch show has been committed; they never block on the disk, and a change is visible before its call returns.
//   - Spec and status are written apart: a declaration never loses an observation and the other way round.
//   - A Record handed out is shared and never changes; who edits one gets a copy whose maps, slices and pointers must be
//     replaced as a whole.
//   - One process has the file; a second Open gives ErrInUse.
//
// # The file
//
//	meta        format, instance, epoch, revision, engine    what the store itself is
//	containers  <id>                          -> JSON        declaration: name, labels, generation, spec, deletion
//	status      <id>                          -> JSON        status, placement, superseded placements, pending stop
//	names       <name>                        -> id          live containers by name
//	tombstones  <id>                          -> JSON        what was ours of a deleted container, for 30 days
//	keys        <principal> NUL <key>         -> JSON        idempotency keys: body's hash and the result, for 24 hours
//	expiries    <unix nanoseconds, 8 bytes><key of keys>     when an idempotency key may be forgotten
//	history     <id><generation, 8 bytes>     -> JSON        what was declared before, the newest ten and what is in use
//	log         <revision, 8 bytes>           -> JSON        what changed and its durable events, oldest dropped first
//
// All of it except keys, expiries and log is mirrored in memory, so that reading costs no decoding; the file is read at
// Open and written after.
package store
