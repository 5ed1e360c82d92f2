package listener

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/postern-lb/postern/targetgroup"
)

// webGRPCService has one method of each kind, in gRPC's own health messages.
func webGRPCService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "web.Test", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: webUnary}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Client", ClientStreams: true, Handler: webClientStream},
			{StreamName: "Server", ServerStreams: true, Handler: webServerStream},
			{StreamName: "Both", ClientStreams: true, ServerStreams: true, Handler: webBothStream},
		},
	}
}

func webText(text string) *healthpb.HealthCheckRequest {
	return &healthpb.HealthCheckRequest{Service: text}
}

// webUnary answers with the client's subject, or fails.
func webUnary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := webText("")
	if err := decode(in); err != nil {
		return nil, err
	}
	grpc.SetTrailer(ctx, metadata.Pairs("sum", "42", "sum-bin", "\x00\xff"))
	if in.Service == "fail" {
		return nil, status.Error(codes.DataLoss, "as asked: 100%")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	return webText(strings.Join(md["x-amzn-mtls-clientcert-subject"], "|")), nil
}

func webClientStream(_ any, s grpc.ServerStream) error {
	for n := 0; ; n++ {
		if err := s.RecvMsg(webText("")); err == io.EOF {
			return s.SendMsg(webText(fmt.Sprint(n)))
		} else if err != nil {
			return err
		}
	}
}

func webServerStream(_ any, s grpc.ServerStream) error {
	if err := s.RecvMsg(webText("")); err != nil {
		return err
	}
	for i := range 5 {
		if err := s.SendMsg(webText(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	s.SetTrailer(metadata.Pairs("sum", "10"))
	return nil
}

func webBothStream(_ any, s grpc.ServerStream) error {
	for {
		in := webText("")
		if err := s.RecvMsg(in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(webText("echo " + in.Service)); err != nil {
			return err
		}
	}
}

// webGRPC starts a gRPC server behind a listener in mode verify.
func webGRPC(t *testing.T, changes ...func(*Config)) (*web, *grpc.ClientConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(webGRPCService(), nil)
	go server.Serve(ln)
	t.Cleanup(server.Stop)
	cfg := webGroupOf("main", ln.Addr().String())
	cfg.ProtocolVersion = targetgroup.GRPC
	w := webServe(t, "", append([]func(*Config){webMode(ModeVerify), webBackend(t, cfg)}, changes...)...)
	return w, w.dialGRPC()
}

func (w *web) dialGRPC() *grpc.ClientConn {
	w.t.Helper()
	client, err := grpc.NewClient("passthrough:///"+w.addr, grpc.WithTransportCredentials(credentials.NewTLS(w.clientTLS())))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { client.Close() })
	return client
}

func TestGRPCUnary(t *testing.T) {
	w, client := webGRPC(t)
	var trailer metadata.MD
	out := webText("")
	spoof := metadata.AppendToOutgoingContext(t.Context(), "x-amzn-mtls-clientcert-subject", "CN=evil", "x_amzn_mtls_clientcert_subject", "CN=evil")
	if err := client.Invoke(spoof, "/web.Test/Unary", webText("x"), out, grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if out.Service != "CN=web-client,O=Postern" {
		t.Errorf("the target was told subject %q", out.Service)
	}
	if trailer["sum"][0] != "42" || trailer["sum-bin"][0] != "\x00\xff" {
		t.Errorf("trailers %v", trailer)
	}
	webWant(t, w.line(1), map[int]string{1: "grpcs", 9: "200", 10: "200", 23: "forward"})
	err := client.Invoke(t.Context(), "/web.Test/Unary", webText("fail"), out)
	if s := status.Convert(err); s.Code() != codes.DataLoss || s.Message() != "as asked: 100%" {
		t.Errorf("got %v", err)
	}
	w.line(2)
}

func TestGRPCStreams(t *testing.T) {
	// Idle is short: streams rest in one direction for longer.
	const idle = 400 * time.Millisecond
	w, client := webGRPC(t, webIdle(idle))
	open := func(method string) grpc.ClientStream {
		t.Helper()
		s, err := client.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/web.Test/"+method)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	receive := func(s grpc.ClientStream, want string) {
		t.Helper()
		out := webText("")
		if err := s.RecvMsg(out); err != nil || out.Service != want {
			t.Fatalf("got %q, %v; want %q", out.Service, err, want)
		}
	}
	ended := func(s grpc.ClientStream) {
		t.Helper()
		if err := s.RecvMsg(webText("")); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	}

	s := open("Client")
	for range 8 {
		s.SendMsg(webText("x"))
		time.Sleep(idle / 4)
	}
	s.CloseSend()
	receive(s, "8")
	ended(s)

	s = open("Server")
	s.SendMsg(webText("go"))
	s.CloseSend()
	for i := range 5 {
		receive(s, fmt.Sprint(i))
	}
	ended(s)
	if got := s.Trailer()["sum"]; len(got) != 1 || got[0] != "10" {
		t.Errorf("trailers %v", s.Trailer())
	}

	s = open("Both")
	for i := range 20 {
		s.SendMsg(webText(fmt.Sprint(i)))
		receive(s, fmt.Sprintf("echo %d", i))
	}
	s.CloseSend()
	ended(s)
	webWant(t, w.line(3), map[int]string{1: "grpcs", 9: "200", 10: "200"})
}

func TestGRPCFaults(t *testing.T) {
	cfg := webGroupOf("main", webRefusing(t))
	cfg.ProtocolVersion = targetgroup.GRPC
	w := webServe(t, "", webMode(ModeVerify), webBackend(t, cfg))
	err := w.dialGRPC().Invoke(t.Context(), "/web.Test/Unary", webText("x"), webText(""))
	if s := status.Convert(err); s.Code() != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	webWant(t, w.line(1), map[int]string{1: "grpcs", 9: "502", 10: "-"})
	r := w.request("POST", "/web.Test/Unary", strings.NewReader("x"))
	r.Header.Set("Content-Type", "application/grpc")
	res, body := w.do(w.client(2), r)
	if h := res.Header; res.StatusCode != http.StatusBadGateway || body != "" || h.Get("Grpc-Status") != "14" ||
		h.Get("Grpc-Message") != "unavailable" || h.Get("Content-Type") != "application/grpc" || h.Get("Server") != "awselb/2.0" {
		t.Errorf("%s %v %q", res.Status, h, body)
	}
}
