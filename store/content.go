package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// content is what a file holds, as far as it can be read, and what of it cannot be.
type content struct {
	engineEvent                       int64
	clock                             steady
	revision                          uint64
	told                              Tally
	epoch, instance, engine, restored string
	strangers                         []string
	records                           map[string]*Record
	names                             map[string]string // of records
	tombstones                        map[string]*Tombstone
	flaws                             []Flaw // found now
	quarantine                        quarantine

	decode             func(declared, observed []byte) (declaration, observation, error)
	containers, status *bolt.Bucket      // what is being read
	owners, named      map[string]string // ids by name, and names by id, whether there are such containers or not
}

// contents reads a file of the current format. The error is ErrDamaged where it cannot be told what the file is.
func contents(tx *bolt.Tx) (*content, error) { return contentsOf(tx, Format, halves) }

// contentsOf is contents for a format whose records decode understands.
func contentsOf(tx *bolt.Tx, format int, decode func(declared, observed []byte) (declaration, observation, error)) (*content, error) {
	for _, name := range buckets() {
		if tx.Bucket(name) == nil && (format > 1 || !bytes.Equal(name, bucketHistory)) { // the first stores had no history
			return nil, damaged("bucket %s is missing", name)
		}
	}
	c := &content{
		records: map[string]*Record{}, names: map[string]string{}, tombstones: map[string]*Tombstone{}, quarantine: newQuarantine(), decode: decode,
		containers: tx.Bucket(bucketContainers), status: tx.Bucket(bucketStatus), owners: map[string]string{}, named: map[string]string{},
	}
	if err := c.readMeta(tx); err != nil {
		return nil, err
	}
	if err := c.quarantine.read(tx); err != nil {
		return nil, err
	}
	for _, read := range []struct {
		bucket []byte
		record func(key, value []byte) error
	}{
		{bucketNames, c.readName}, {bucketContainers, c.readContainer}, {bucketStatus, c.findOrphan}, {bucketTombstones, c.readTombstone},
	} {
		if err := tx.Bucket(read.bucket).ForEach(read.record); err != nil {
			return nil, err
		}
	}
	c.settleNames()
	return c, nil
}

func (c *content) readMeta(tx *bolt.Tx) error {
	m := tx.Bucket(bucketMeta)
	get := func(key string) string { return string(m.Get([]byte(key))) }
	var err error
	if c.revision, err = strconv.ParseUint(get("revision"), 10, 64); err != nil {
		return damaged("its revision is %q", get("revision"))
	}
	newest, told, ok := newestChange(tx)
	if ok && newest > c.revision {
		return damaged("its revision is %d, and its newest change has %d", c.revision, newest)
	}
	c.told = told
	c.epoch, c.instance, c.engine, c.restored = get("epoch"), get("instance"), get("engine"), get("restored")
	c.strangers = strings.Fields(get("strangers"))
	c.clock = readSteady(get("clock"))
	c.engineEvent, _ = strconv.ParseInt(get("engine_event"), 10, 64) // what cannot be read is not known
	if c.epoch == "" || c.instance == "" {
		return damaged("its epoch or its instance is missing")
	}
	return nil
}

// newestChange is the revision and the tally of the newest change that is kept. One that is damaged has no tally.
func newestChange(tx *bolt.Tx) (uint64, Tally, bool) {
	k, v := tx.Bucket(bucketLog).Cursor().Last()
	revision, ok := revisionOf(k)
	var c Change
	_ = json.Unmarshal(v, &c)
	return revision, c.Told, ok
}

func (c *content) flaw(bucket, key []byte, id string, why error) {
	f := Flaw{Bucket: string(bucket), Key: string(key), ID: id, Name: c.named[id], Why: why.Error()}
	c.flaws = append(c.flaws, f)
	c.quarantine.add(f)
}

func (c *content) readName(name, owner []byte) error {
	c.owners[string(name)], c.named[string(owner)] = string(owner), string(name)
	return nil
}

// readContainer takes a record in, or notes why it cannot be relied upon.
func (c *content) readContainer(key, value []byte) error {
	id := string(key)
	d, o, err := c.decode(value, c.status.Get(key))
	if err == nil {
		err = c.sound(id, &d)
	}
	if err == nil {
		c.records[id], c.names[d.Name] = assemble(d, o, c.epoch), id
		return nil
	}
	c.flaw(bucketContainers, key, id, err)
	if c.status.Get(key) != nil {
		c.flaw(bucketStatus, key, id, errors.New("it belongs to a damaged record"))
	}
	return nil
}

// halves decodes both halves of a record.
func halves(declared, observed []byte) (d declaration, o observation, err error) {
	if err = decode(declared, &d); err != nil {
		return d, o, err
	}
	if err = decode(observed, &o); err != nil {
		err = fmt.Errorf("its status: %w", err)
	}
	return d, o, err
}

// decode is for values of this package's own types.
func decode(value []byte, into any) error {
	if value == nil {
		return errors.New("it is missing")
	}
	return json.Unmarshal(value, into)
}

// sound tells whether a declaration that could be decoded is what was written. One that is not may not be acted upon: another
// name would be given to the container, and a state that nobody knows taken for one that is known.
func (c *content) sound(id string, d *declaration) error {
	states := []string{api.DesiredCreated, api.DesiredRunning, api.DesiredStopped, api.DesiredPaused}
	policies := []string{api.RestartAlways, api.RestartOnFailure, api.RestartNever}
	switch {
	case !api.IsID(id) || d.ID != id:
		return fmt.Errorf("it says that its id is %q", d.ID)
	case c.owners[d.Name] != id:
		return fmt.Errorf("it says that its name is %q, which belongs to %q", d.Name, c.owners[d.Name])
	case !slices.Contains(states, d.Spec.DesiredState):
		return fmt.Errorf("its desired_state is %q", d.Spec.DesiredState)
	case !slices.Contains(policies, d.Spec.RestartPolicy.Name):
		return fmt.Errorf("its restart policy is %q", d.Spec.RestartPolicy.Name)
	}
	return nil
}

// findOrphan notes a status without a declaration.
func (c *content) findOrphan(key, _ []byte) error {
	if c.containers.Get(key) == nil {
		c.flaw(bucketStatus, key, string(key), errors.New("there is no declaration of that container"))
	}
	return nil
}

func (c *content) readTombstone(key, value []byte) error {
	t := &Tombstone{}
	err := decode(value, t)
	if err == nil && t.ID != string(key) {
		err = fmt.Errorf("it says that its id is %q", t.ID)
	}
	if err != nil {
		c.flaw(bucketTombstones, key, string(key), err)
		return nil
	}
	c.tombstones[t.ID] = t
	return nil
}

// settleNames keeps the names of what is in quarantine taken, and notes those that lead nowhere.
func (c *content) settleNames() {
	for name, id := range c.owners {
		if c.names[name] == id {
			continue
		}
		if _, held := c.quarantine.ids[id]; held {
			c.quarantine.names[name] = id
			continue
		}
		c.flaw(bucketNames, []byte(name), "", fmt.Errorf("it leads to %q, and no container has that id and that name", id))
	}
}
