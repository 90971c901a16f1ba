// Package apptest runs the whole service for tests and talks to it only as its
// users do: GraphQL over HTTP, the websocket of a chat, and the REST calls of a
// webhook desk.
//
//	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
//		s := apptest.Start(t, d, apptest.Options{})
//		desk := apptest.NewDesk(t)
//		agent := s.NewAgent(t).WithWebhook(desk)
//		c := agent.Converse(apptest.Vars{"channel": "API"})
//		c.UserWrites("Let me talk to a person.")
//		c.Request(nil)
//		c.Await("connecting", apptest.Notice("CONNECTING"))
//		c.OperatorWrites("Hello, this is support.")
//		…
//	})
//
// [Start] runs it in the process of the test, where time can be moved by a
// [Clock]; [Launch] runs the real binary, which can be killed. Both are a
// [Service], so that the same helpers act on either.
//
// A [Desk] is a developer's server behind the Webhook desk. It writes down every
// call, and a script says how it treats each: refuse it, take it in and break the
// answer off, hold the answer until the test has done something else.
//
// Helpers without a result that says otherwise end the test on failure, and must be
// called by its goroutine. Those that begin with Try give an error instead, so that
// a test can act from many goroutines at once.
package apptest
