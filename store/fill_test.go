package store

import (
	"fmt"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// What is kept under ascending keys fills its pages: the file of a host with many flows is no larger than it has to be.
func TestStore_FillsItsPages(t *testing.T) {
	s := open(t, t.TempDir(), Options{NoSync: true})
	for i := range 400 {
		declare(t, s, Declaration{Name: fmt.Sprint("web-", i), Change: running})
	}
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, bucket := range [][]byte{bucketContainers, bucketHistory, bucketLog} {
			if full := tx.Bucket(bucket).Stats(); full.LeafInuse < full.LeafAlloc*6/10 {
				t.Errorf("%s takes %d bytes for %d", bucket, full.LeafAlloc, full.LeafInuse)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
