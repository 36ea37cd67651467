package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Cost is what it takes to bring a changed field into a standing container.
type Cost int

// The costs, cheapest first.
const (
	CostNothing Cost = iota
	CostInPlace
	CostRestart
	CostRecreate
)

// String is the word that clients see.
func (c Cost) String() string {
	return [...]string{"none", "in-place", "restart", "recreate"}[c]
}

// costOf names the cost of each field of Spec by its JSON name. A field that is not here recreates. Limits are special:
// taking one away recreates (the engine cannot lift a limit in place).
func costOf(field string) Cost {
	switch field {
	case "desired_state", "restart_policy", "stop_grace_seconds", "image_pull_policy", "readiness", "liveness", "update_policy":
		return CostNothing
	case "resources":
		return CostInPlace
	case "code":
		return CostRestart
	}
	return CostRecreate
}

// Change is one field that two specs disagree about.
type Change struct {
	Field string
	Cost  Cost
}

// Changes lists what differs between two defaulted specs and what each difference costs.
func Changes(from, to *Spec) []Change {
	var changes []Change
	old, next := reflect.ValueOf(*from), reflect.ValueOf(*to)
	for i := range old.NumField() {
		if reflect.DeepEqual(old.Field(i).Interface(), next.Field(i).Interface()) {
			continue
		}
		field := jsonName(old.Type().Field(i))
		changes = append(changes, Change{field, between(field, from, to)})
	}
	return changes
}

func between(field string, from, to *Spec) Cost {
	switch field {
	case "resources":
		return ResourceCost(from.Resources, to.Resources)
	case "code":
		if from.Code == nil || to.Code == nil || from.Code.Target != to.Code.Target {
			return CostRecreate
		}
	}
	return costOf(field)
}

// ResourceCost is what a change of limits costs.
func ResourceCost(from, to Resources) Cost {
	switch {
	case from == to:
		return CostNothing
	case from.MemoryBytes > 0 && to.MemoryBytes == 0, from.NanoCPUs > 0 && to.NanoCPUs == 0:
		return CostRecreate
	}
	return CostInPlace
}

// TemplateHash is equal for two defaulted specs exactly when a container made from the one can serve the other without
// being recreated, limits aside. Fields at their zero value do not count, so that a new field changes no old hash.
func TemplateHash(s *Spec) string {
	template := map[string]any{}
	v := reflect.ValueOf(*s)
	for i := range v.NumField() {
		field := jsonName(v.Type().Field(i))
		if value := v.Field(i); costOf(field) == CostRecreate && !empty(value) {
			template[field] = value.Interface()
		}
	}
	if s.Code != nil {
		template["code.target"] = s.Code.Target
	}
	data, err := json.Marshal(template)
	if err != nil {
		panic(fmt.Sprintf("api: hashing a template: %v", err)) // a Spec always encodes
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	}
	return v.IsZero()
}

// SameSpec tells whether two defaulted specs say the same.
func SameSpec(a, b *Spec) bool {
	return string(Encode(a)) == string(Encode(b))
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
