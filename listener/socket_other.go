//go:build !linux

package listener

import "net"

// listenConfig leaves keep-alive to package net, which sets it on each connection.
func listenConfig() *net.ListenConfig { return &net.ListenConfig{} }
