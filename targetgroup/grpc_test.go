package targetgroup_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/postern-lb/postern/targetgroup"
)

// echoService is a bidirectional stream in gRPC's own health messages, which
// saves generating code: each service name comes back in the trailer "last".
var echoService = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{
		StreamName: "Echo", ServerStreams: true, ClientStreams: true, Handler: echoStream,
	}},
}

func echoStream(_ any, stream grpc.ServerStream) error {
	for {
		var in healthpb.HealthCheckRequest
		if err := stream.RecvMsg(&in); err != nil {
			return nil
		}
		stream.SetTrailer(metadata.Pairs("last", in.Service))
		if in.Service == "fail" {
			return status.Error(codes.DataLoss, "as asked")
		}
		if err := stream.SendMsg(&healthpb.HealthCheckRequest{Service: "echo " + in.Service}); err != nil {
			return err
		}
	}
}

// serveGRPC starts a grpc-go server with the health and echo services.
func serveGRPC(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	server.RegisterService(&echoService, nil)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func grpcConfig(address string) targetgroup.Config {
	cfg := config(address)
	cfg.ProtocolVersion = targetgroup.GRPC
	return cfg
}

// dialThrough returns a gRPC client whose calls pass a proxy made of g. The proxy
// has no FlushInterval: ReverseProxy streams a body of unknown length anyway, and
// with -1 it may flush the headers of a response that consists of nothing else.
// An error that a gRPC server sends so ("Trailers-Only") would then get a second
// frame, and no client would find its status.
func dialThrough(t *testing.T, g *targetgroup.Group) *grpc.ClientConn {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		Transport: g,
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Host = r.In.Host },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			t.Logf("proxy: %v", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	client, err := grpc.NewClient(serve(t, targetgroup.HTTP2, proxy), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestGRPCUnaryCall(t *testing.T) {
	client := healthpb.NewHealthClient(dialThrough(t, newGroup(t, grpcConfig(serveGRPC(t)))))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	res, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || res.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("got %v %v, want SERVING", res, err)
	}
	_, err = client.Check(ctx, &healthpb.HealthCheckRequest{Service: "unknown"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("got %v, want NotFound", err)
	}
}

// TestGRPCFullDuplex has both sides speak in turn on one stream, so that neither
// the request's body nor the response's can be waited for.
func TestGRPCFullDuplex(t *testing.T) {
	g := newGroup(t, grpcConfig(serveGRPC(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	stream, err := dialThrough(t, g).NewStream(ctx, &echoService.Streams[0], "/test.Echo/Echo")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := stream.SendMsg(&healthpb.HealthCheckRequest{Service: "hi"}); err != nil {
			t.Fatal(err)
		}
		var out healthpb.HealthCheckRequest
		if err := stream.RecvMsg(&out); err != nil || out.Service != "echo hi" {
			t.Fatalf("got %q %v, want \"echo hi\"", out.Service, err)
		}
	}
	stream.SendMsg(&healthpb.HealthCheckRequest{Service: "fail"})
	err = stream.RecvMsg(new(healthpb.HealthCheckRequest))
	if status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "as asked" {
		t.Errorf("got %v, want DataLoss: as asked", err)
	}
	if last := strings.Join(stream.Trailer().Get("last"), " "); last != "hi hi hi fail" {
		t.Errorf("trailer %q, want all four", last)
	}
	eventually(t, "nothing is in flight", func() bool { return g.Health()[0].InFlight == 0 })
}

func TestGRPCHealthCheck(t *testing.T) {
	address := serveGRPC(t)
	for _, tt := range []struct {
		name, address, path, matcher string
		state, description           string
	}{
		{"default path is unimplemented", address, "", "", "healthy", ""},
		{"real call", address, "/grpc.health.v1.Health/Check", "0", "healthy", ""},
		{"range", address, "", "0-99", "healthy", ""},
		{"wrong code", address, "/grpc.health.v1.Health/Check", "1-99", "unhealthy", "Health checks failed with these codes: [0]"},
		{"web server", serve(t, targetgroup.HTTP2, http.NotFoundHandler()), "", "", "unhealthy", "Health checks failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := grpcConfig(tt.address)
			cfg.HealthCheck.Path, cfg.HealthCheck.Matcher = tt.path, tt.matcher
			g := newGroup(t, cfg)
			run(t, g)
			eventually(t, "target is checked", func() bool { return states(g) != "initial" })
			if h := g.Health()[0]; string(h.State) != tt.state || h.Description != tt.description {
				t.Errorf("%s %s %q, want %s %q", h.State, h.Reason, h.Description, tt.state, tt.description)
			}
		})
	}
}

func TestIsGRPC(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "Application/GRPC; a=b": true, "application/grpc-web": false, "application/grpcx": false, "text/html": false,
	} {
		if got := targetgroup.IsGRPC(&http.Request{ProtoMajor: 2, Header: http.Header{"Content-Type": {contentType}}}); got != want {
			t.Errorf("IsGRPC of %q = %v", contentType, got)
		}
	}
	if targetgroup.IsGRPC(&http.Request{ProtoMajor: 1, Header: http.Header{"Content-Type": {"application/grpc"}}}) {
		t.Error("HTTP/1.1 is taken for gRPC")
	}
}
