package config

import (
	"net/netip"
	"reflect"
	"strings"
	"time"
)

var (
	durationType   = reflect.TypeFor[time.Duration]()
	sizeType       = reflect.TypeFor[Size]()
	percentageType = reflect.TypeFor[Percentage]()
	sourceType     = reflect.TypeFor[Source]()
	prefixType     = reflect.TypeFor[netip.Prefix]()
)

// A schema is the keys of one mapping, read from the tags of its struct:
//
//	yaml:"KEY,OPTION..."   required: the key must be there
//	                       path: the value names a file
//	                       filled: a list has elements, a string has characters
//	                       number: a string that may be written as an integer
//	                       single: a list of one may be written as its element
//	                       inline: the fields stand in the outer mapping
//	range:"LOW..HIGH"      bounds, written as in the file
type schema struct {
	fields []field
	// union is "an action" and the like if exactly one key must be there.
	union string
}

type field struct {
	index []int
	key   string

	required, filled, path, number, single bool

	low, high string // bounds, or empty
}

func (s *schema) find(key string) *field {
	for i := range s.fields {
		if s.fields[i].key == key {
			return &s.fields[i]
		}
	}
	return nil
}

func (s *schema) keys() []string {
	keys := make([]string, len(s.fields))
	for i, f := range s.fields {
		keys[i] = f.key
	}
	return keys
}

func schemaOf(t reflect.Type) *schema {
	s := &schema{}
	if u, ok := reflect.Zero(t).Interface().(interface{ union() string }); ok {
		s.union = u.union()
	}
	s.addFields(t, nil)
	return s
}

func (s *schema) addFields(t reflect.Type, outer []int) {
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		index := append(append([]int(nil), outer...), i)
		key, options, _ := strings.Cut(tag, ",")
		if options == "inline" {
			s.addFields(t.Field(i).Type, index)
			continue
		}
		f := field{index: index, key: key}
		f.low, f.high, _ = strings.Cut(t.Field(i).Tag.Get("range"), "..")
		for option := range strings.SplitSeq(options, ",") {
			f.set(option)
		}
		s.fields = append(s.fields, f)
	}
}

func (f *field) set(option string) {
	switch option {
	case "":
	case "required":
		f.required = true
	case "filled":
		f.filled = true
	case "path":
		f.path = true
	case "number":
		f.number = true
	case "single":
		f.single = true
	default:
		bug("unknown option %q of key %q", option, f.key)
	}
}
