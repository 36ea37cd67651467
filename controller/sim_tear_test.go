//go:build sim

package controller

import (
	"math/rand/v2"
	"os"
)

const simSector = 512

// tear is a file whose last transaction was under way when the power failed. bbolt writes all pages but the first two, syncs,
// writes one of these two, and syncs again; so the disk may hold any sectors of the former and nothing of the latter, or all
// of the former and any part of the latter. What it holds must read as one of the two states, before or after.
func tear(before, after []byte, random *rand.Rand) []byte {
	page := os.Getpagesize()
	file := make([]byte, max(len(before), len(after)))
	copy(file, before)
	if random.IntN(2) == 0 {
		for at := 2 * page; at < len(after); at += simSector {
			if random.IntN(2) == 0 {
				copy(file[at:], after[at:min(at+simSector, len(after))])
			}
		}
		return file
	}
	copy(file[2*page:], after[2*page:])
	for _, at := range []int{0, page} {
		copy(file[at:], after[at:at+random.IntN(simMeta+1)])
	}
	return file
}

// simMeta is how many bytes of one of the first two pages are in use.
const simMeta = 80
