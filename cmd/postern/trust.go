package main

// trustCommand groups what is about trust stores.
type trustCommand struct {
	Inspect trustInspect `cmd:"" help:"Say what is in a CA bundle."`
	Diff    trustDiff    `cmd:"" help:"Compare two CA bundles; exit code 1 if they differ."`
}
