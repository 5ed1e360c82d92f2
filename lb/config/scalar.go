package config

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decimal is the one way to write an integer. YAML's others (0x10, 0o17, 010,
// 1_000) are refused, because readers of other versions see other numbers.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})$`)

// scalar decodes one value that is neither list nor mapping.
func (d *decoder) scalar(node ast.Node, path string, f field, v reflect.Value) {
	problem := ""
	switch {
	case v.Type() == durationType:
		problem = setDuration(node, f, v)
	case v.Type() == sizeType:
		problem = setSize(node, f, v)
	case v.Type() == percentageType:
		problem = setPercentage(node, v)
	case v.Type() == prefixType:
		problem = setPrefix(node, v)
	case v.Kind() == reflect.Bool:
		problem = setBool(node, v)
	case v.Kind() == reflect.Int:
		problem = setInt(node, f, v)
	case v.Kind() == reflect.String:
		problem = setString(node, f, v)
	default:
		bug("no decoding for %s at %s", v.Type(), path)
	}
	if problem != "" {
		d.add(d.places[path], path, "%s", problem)
		return
	}
	if f.path {
		d.files = append(d.files, v.Addr().Interface().(*string))
	}
}

// expected words the commonest fault.
func expected(what string, node ast.Node) string {
	return fmt.Sprintf("expected %s, found %s", what, describe(node))
}

func setBool(node ast.Node, v reflect.Value) string {
	b, ok := node.(*ast.BoolNode)
	if !ok {
		return expected("true or false, without quotes", node)
	}
	v.SetBool(b.Value)
	return ""
}

func setInt(node ast.Node, f field, v reflect.Value) string {
	n, ok := integer(node)
	if !ok {
		return expected("a decimal integer, without quotes", node)
	}
	if f.low != "" && (n < mustInt(f.low) || n > mustInt(f.high)) {
		return fmt.Sprintf("must be from %s to %s; found %d", f.low, f.high, n)
	}
	v.SetInt(n)
	return ""
}

// integer reads an integer that is written in decimal.
func integer(node ast.Node) (int64, bool) {
	n, ok := node.(*ast.IntegerNode)
	if !ok || !decimal.MatchString(n.Token.Value) {
		return 0, false
	}
	i, err := strconv.ParseInt(n.Token.Value, 10, 64)
	return i, err == nil
}

func mustInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		bug("bound %q: %v", s, err)
	}
	return n
}

func setString(node ast.Node, f field, v reflect.Value) string {
	s, ok := text(node)
	if !ok && f.number {
		if _, ok = integer(node); ok {
			s = node.GetToken().Value
		}
	}
	enum, isEnum := v.Interface().(interface{ values() []string })
	if isEnum && (!ok || !slices.Contains(enum.values(), s)) {
		return expected("one of "+strings.Join(enum.values(), ", "), node)
	}
	if !ok {
		return expected("a string", node) + stringRemedy(node)
	}
	if (f.filled || f.path) && s == "" {
		return "must not be empty"
	}
	if f.path && strings.ContainsAny(s, "\n\x00") {
		return "expected the path of a file, found " + describe(node)
	}
	v.SetString(s)
	return ""
}

// stringRemedy says how the value could be written as the string it should be.
func stringRemedy(node ast.Node) string {
	switch node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return ": put it in quotes"
	case *ast.NullNode:
		return `: give it a value (one that begins with "#" needs quotes) or leave the key out`
	}
	return ""
}

// text returns the value of a node that YAML reads as a string, which bare
// words such as on and off are.
func text(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func setDuration(node ast.Node, f field, v reflect.Value) string {
	found, ok := duration(node)
	if !ok {
		return expected("a duration such as 30s, or an integer of seconds", node)
	}
	low, high := cmp.Or(f.low, "0s"), cmp.Or(f.high, maxDuration.String())
	if found < mustDuration(low) || found > mustDuration(high) {
		return fmt.Sprintf("must be from %s to %s; found %v", low, high, found)
	}
	v.SetInt(int64(found))
	return ""
}

// duration reads Go's notation, or Terraform's, a number of seconds.
func duration(node ast.Node) (time.Duration, bool) {
	if n, ok := integer(node); ok {
		const most = int64(math.MaxInt64 / time.Second)
		return time.Duration(n) * time.Second, n <= most && n >= -most
	}
	s, ok := text(node)
	found, err := time.ParseDuration(s)
	return found, ok && err == nil
}

// maxDuration bounds durations that have no range of their own here.
const maxDuration = 30 * 24 * time.Hour

func mustDuration(s string) time.Duration {
	found, err := time.ParseDuration(s)
	if err != nil {
		bug("bound %q: %v", s, err)
	}
	return found
}

func setSize(node ast.Node, f field, v reflect.Value) string {
	s, ok := text(node)
	if _, isInt := integer(node); isInt {
		s, ok = node.GetToken().Value, true
	}
	n, err := ParseSize(s)
	if !ok || err != nil {
		return expected("a size such as 100MB, or an integer of bytes", node)
	}
	low, _ := ParseSize(f.low)
	high, _ := ParseSize(f.high)
	if n < low || n > high {
		return fmt.Sprintf("must be from %s to %s; found %s", f.low, f.high, s)
	}
	v.SetInt(int64(n))
	return ""
}

// ParseSize reads a Size as the file has it: an integer of bytes, or an
// integer directly followed by KB, MB, GB or TB.
func ParseSize(s string) (Size, error) {
	unit := Size(1)
	digits := s
	for suffix, u := range map[string]Size{"KB": KB, "MB": MB, "GB": GB, "TB": TB} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = rest, u
		}
	}
	if !decimal.MatchString(digits) || digits[0] == '-' {
		return 0, fmt.Errorf("parsing size %q: want an integer and KB, MB, GB or TB", s)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || Size(n) > maxSize/unit {
		return 0, fmt.Errorf("parsing size %q: more than %dTB", s, maxSize/TB)
	}
	return Size(n) * unit, nil
}

const maxSize = 1024 * TB

func setPercentage(node ast.Node, v reflect.Value) string {
	if s, ok := text(node); ok && s == string(Off) {
		v.SetInt(0)
		return ""
	}
	n, ok := integer(node)
	if !ok || n < 1 || n > 100 {
		return expected("off, or an integer from 1 to 100", node)
	}
	v.SetInt(n)
	return ""
}

func setPrefix(node ast.Node, v reflect.Value) string {
	s, _ := text(node)
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return expected("a block of addresses such as 10.0.0.0/8", node)
	}
	if prefix != prefix.Masked() {
		return fmt.Sprintf("%s has bits set beyond its prefix: write %s", prefix, prefix.Masked())
	}
	v.Set(reflect.ValueOf(prefix))
	return ""
}
