// Command bench measures the manager against what the same machine can do without it, and prints one table.
//
// Every row takes its yardstick in the same run, in turns with what it measures, and measures the yardstick against itself
// besides (A/A): a difference that is not clearly larger than that one is noise. The manager is the real program on ports and
// folders of its own; what the bench makes is taken away again, also when it is interrupted.
package main
