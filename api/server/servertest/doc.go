// Package servertest runs the real handlers of api/server without a transport: a Session is a client in the same process, and
// Parts plays what stands behind the handlers beside the store.
//
//	p := &servertest.Parts{}
//	s := server.New(server.Backend{Store: st, Messenger: p, Stats: p, Logs: p, Engine: p, Policy: p, Planner: p, Log: zerolog.Nop()})
//	end := servertest.Run(s, st)
//	client, err := servertest.Open(s, session.Principal{Name: "ann", Role: api.Operator})
//	asked := client.Ask(api.ApplyContainer, json.RawMessage(`{"name":"web","image":"app"}`))
//	asked.Ack()     // what it was acknowledged by, nil so far
//	client.Events() // what the client was told since it was asked last
//	client.Close()
//	end()
//
// A request is handled on the goroutine that asks, one at a time in each session, and Handle has returned when Ask does. Nothing
// here waits but a client for what it is sent, and a stream for a client that is Slow, so all of it works in a bubble of
// testing/synctest, where the only other goroutines are the server's own.
//
// It does not import api/server, so that the tests of that package can use it.
package servertest
