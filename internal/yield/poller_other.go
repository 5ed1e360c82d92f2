//go:build !unix

package yield

// A poller is not to be had here.
type poller struct{}

func (*poller) wait() bool { return false }

func (*poller) close() {}
