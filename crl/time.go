package crl

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// readTime takes a UTCTime of the form YYMMDDHHMMSSZ, for 1950 to 2049, or a
// GeneralizedTime of the form YYYYMMDDHHMMSSZ (RFC 5280, 4.1.2.5). That dates
// before 2050 must be UTCTime is not insisted on.
func readTime(s *cryptobyte.String) (time.Time, bool) {
	var content cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&content, &tag) {
		return time.Time{}, false
	}
	var year int
	switch {
	case tag == asn1.UTCTime && len(content) == 13:
		if year = twoDigits(content); year < 50 {
			year += 100
		}
		year += 1900
		content = content[2:]
	case tag == asn1.GeneralizedTime && len(content) == 15:
		year = 100*twoDigits(content) + twoDigits(content[2:])
		content = content[4:]
	default:
		return time.Time{}, false
	}
	return readMonth(year, content)
}

// readMonth reads the rest of a time: MMDDHHMMSSZ.
func readMonth(year int, s []byte) (time.Time, bool) {
	month, day := twoDigits(s), twoDigits(s[2:])
	hour, minute, second := twoDigits(s[4:]), twoDigits(s[6:]), twoDigits(s[8:])
	if min(year, month, day, hour, minute, second) < 0 || hour > 23 || minute > 59 || second > 59 || s[10] != 'Z' {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return t, int(t.Month()) == month && t.Day() == day
}

// validUTC reports that readTime accepts the content of a UTCTime of 13 bytes. It
// makes no time.Time, which takes most of readTime, and is not sure of days after the 28th.
func validUTC(s []byte) bool {
	year, month, day := twoDigits(s), twoDigits(s[2:]), twoDigits(s[4:])
	hour, minute, second := twoDigits(s[6:]), twoDigits(s[8:]), twoDigits(s[10:])
	const safeDay = 28
	return min(year, hour, minute, second) >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= safeDay &&
		hour <= 23 && minute <= 59 && second <= 59 && s[12] == 'Z'
}

// noDigits is less than what any two other digits can make up for in a year.
const noDigits = -100 * 100

// twoDigits reads a number of two digits, or gives noDigits.
func twoDigits(s []byte) int {
	tens, ones := s[0]-'0', s[1]-'0'
	if tens > 9 || ones > 9 {
		return noDigits
	}
	return 10*int(tens) + int(ones)
}
