// Package plan decides what is done about a record, and what that does to the record.
//
// # Guarantees
//
//   - It is pure: no I/O, no context, no goroutine, no clock. The same arguments give the same result.
//   - Plan decides one step. It looks at a record track by track: removal, process, update, settings, name. The first track
//     that has something to do now does it. A failure or a wait holds back its own track only.
//   - Nothing of a record starts while another of its containers is alive.
//   - A handover owns the process. From the written attempt until it is committed or rolled back, only the update track stops,
//     starts and judges what runs.
//   - Apply is the only place that edits a record for a step. The loop, the dry run, the simulator, and the loop while the store
//     cannot be written all call it, so that a step means the same to each of them.
//   - Judge tells what became of a request. Nobody else does.
//   - Waits are lengths of time on a steady clock, which no jump of the host's clock moves.
//
// Every step may be repeated: dying between any two lines of whoever takes them is repaired by planning again.
package plan
