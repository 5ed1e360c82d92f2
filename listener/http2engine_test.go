package listener

import (
	"os"
	"os/exec"
	"testing"

	"github.com/postern-lb/postern/internal/fault"
)

// engineVariable is how a run of the tests is told which engine serves HTTP/2.
const engineVariable = "POSTERN_TEST_HTTP2_ENGINE"

func testEngine() HTTP2Engine { return HTTP2Engine(os.Getenv(engineVariable)) }

// TestStandardEngine runs the tests that speak HTTP/2 once more, with net/http's server.
func TestStandardEngine(t *testing.T) {
	if testEngine() != "" {
		t.Skip("this is that run")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.timeout=3m",
		"-test.run=HTTP2|GRPC|Spoof2|Forwards|Streams|Misdirected|JudgedAgain|Drain|Shutdown|ModeChange|TargetFaults|ProtocolVersion")
	cmd.Env = append(os.Environ(), engineVariable+"="+string(HTTP2Standard))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestEngineIsChecked(t *testing.T) {
	_, err := Compile(Config{Protocol: ProtocolHTTP, HTTP2Engine: "nginx"}, nil)
	for _, f := range fault.All(err) {
		if f.Path == "http2_engine" {
			return
		}
	}
	t.Errorf("got %v, want a fault of http2_engine", err)
}
