package listener

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"slices"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// proxyPrefix is the size of signature, version, family and length.
const proxyPrefix = 16

func readProxyHeader(r io.Reader) ([]byte, error) {
	var prefix [proxyPrefix]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, &ProxyError{proxyReadReason(err, ProxyHeaderMissing), err}
	}
	if !bytes.HasPrefix(prefix[:], proxyproto.SIGV2) {
		return nil, proxyError(ProxyHeaderMissing, "the connection does not begin with the signature of version 2")
	}
	length := int(binary.BigEndian.Uint16(prefix[proxyPrefix-2:]))
	if length > MaxProxyHeaderLength {
		return nil, proxyError(ProxyHeaderTooLong, "it announces %d bytes, the limit is %d", length, MaxProxyHeaderLength)
	}
	header := make([]byte, proxyPrefix+length)
	copy(header, prefix[:])
	if _, err := io.ReadFull(r, header[proxyPrefix:]); err != nil {
		return nil, &ProxyError{proxyReadReason(err, ProxyHeaderMalformed), err}
	}
	return header, nil
}

func proxyReadReason(err error, otherwise ProxyReason) ProxyReason {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ProxyHeaderTimedOut
	}
	return otherwise
}

// apply sets what a whole header says.
func (info *ProxyInfo) apply(header []byte) error {
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return err
	}
	if h.Command.IsLocal() {
		info.Local = true
		return nil
	}
	source, destination, ok := h.TCPAddrs()
	if !ok {
		return fmt.Errorf("transport 0x%02x is not TCP", byte(h.TransportProtocol))
	}
	info.Source, info.Destination = addrPort(source), addrPort(destination)
	tlvs, err := h.TLVs()
	if err != nil {
		return err
	}
	addresses := 2 * (net.IPv4len + 2) // two addresses, two ports
	if h.TransportProtocol.IsIPv6() {
		addresses = 2 * (net.IPv6len + 2)
	}
	if err := checkProxyCRC(header, proxyPrefix+addresses); err != nil {
		return err
	}
	return info.applyTLVs(tlvs)
}

// checkProxyCRC compares the checksum over the whole header, if there is one
// (PROXY protocol, section 2.2.3): CRC-32C with its own four bytes taken as
// zero. The library leaves this to its caller. The TLVs, which begin at byte at,
// must be known to be whole.
func checkProxyCRC(header []byte, at int) error {
	const tlvPrefix = 3
	for at < len(header) {
		value := at + tlvPrefix
		end := value + int(binary.BigEndian.Uint16(header[at+1:]))
		if proxyproto.PP2Type(header[at]) == proxyproto.PP2_TYPE_CRC32C {
			if end-value != crc32.Size {
				return fmt.Errorf("checksum has %d bytes, want %d", end-value, crc32.Size)
			}
			blank := slices.Clone(header)
			clear(blank[value:end])
			if crc32.Checksum(blank, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(header[value:]) {
				return errors.New("checksum does not fit the header")
			}
		}
		at = end
	}
	return nil
}

// applyTLVs is stricter than tlvparse.FindAWSVPCEndpointID, which skips ids it
// cannot read: who relies on the id must not be served without it.
func (info *ProxyInfo) applyTLVs(tlvs []proxyproto.TLV) error {
	for _, tlv := range tlvs {
		if !tlvparse.IsAWSVPCEndpointID(tlv) {
			continue
		}
		id, err := tlvparse.AWSVPCEndpointID(tlv)
		switch {
		case err != nil:
			return fmt.Errorf("reading VPC endpoint id: %w", err)
		case id == "" || len(id) > MaxVPCEndpointID:
			return fmt.Errorf("VPC endpoint id has %d bytes, want 1 to %d", len(id), MaxVPCEndpointID)
		case info.VPCEndpointID != "":
			return errors.New("there are two VPC endpoint ids")
		}
		info.VPCEndpointID = id
	}
	return nil
}
