package server

import (
	"encoding/json"

	"github.com/flow-manager/flow-manager/api"
)

// containerOf is the container that an event is about, "" for none.
func containerOf(e api.Event) string {
	var about struct {
		ContainerID string `json:"container_id"`
	}
	_ = json.Unmarshal(e.Data, &about) // what has none concerns everybody
	return about.ContainerID
}

// subject names what an event tells the state of, where the newest such event is all that counts; "" for any other event.
func subject(e api.Event) string {
	var about struct {
		ContainerID string `json:"container_id"`
		Image       string `json:"image"`
		Layer       string `json:"layer"`
	}
	switch e.Name {
	case api.StatusChanged, api.ContainerStatusUpdate, api.ImagePullProgress:
		if json.Unmarshal(e.Data, &about) != nil {
			return ""
		}
		return e.Name + " " + about.ContainerID + " " + about.Image + " " + about.Layer
	}
	return ""
}
