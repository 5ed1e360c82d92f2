package dn

// These are the DER contents of the object identifiers of families of attribute
// types, without the last component.
const (
	x520Arc         = "\x55\x04"
	cosineArc       = "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01"
	pkcs9Arc        = "\x2a\x86\x48\x86\xf7\x0d\x01\x09"
	jurisdictionArc = "\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01"
	personalArc     = "\x2b\x06\x01\x05\x05\x07\x09"
	russianArc      = "\x2a\x85\x03\x64"
	taxpayerOID     = "\x2a\x85\x03\x03\x81\x03\x01\x01" // 1.2.643.3.131.1.1
)

// shortName returns OpenSSL's short name of the attribute type whose object
// identifier has the given DER content, or "" if there is none.
//
// OpenSSL prints a short name for any object that it knows, even one that
// names no attribute, such as an extended key usage. Here are the families
// that attribute types are taken from; all others print as unknown.
func shortName(oid []byte) string {
	if string(oid) == taxpayerOID {
		return "INN"
	}
	last := len(oid) - 1
	if last < 0 {
		return ""
	}
	switch string(oid[:last]) {
	case x520Arc:
		return nth(x520Names[:], oid[last])
	case cosineArc:
		return nth(cosineNames[:], oid[last])
	case pkcs9Arc:
		return nth(pkcs9Names[:], oid[last])
	case jurisdictionArc:
		return nth(jurisdictionNames[:], oid[last])
	case personalArc:
		return nth(personalNames[:], oid[last])
	case russianArc:
		return nth(russianNames[:], oid[last])
	}
	return ""
}

func nth(names []string, i byte) string {
	if int(i) < len(names) {
		return names[i]
	}
	return ""
}

// The short names, indexed by the last component of the object identifier; as
// OpenSSL 3.0 prints them, which no later version has changed.
var (
	// X.520, 2.5.4.
	x520Names = [...]string{
		3: "CN", 4: "SN", 5: "serialNumber", 6: "C", 7: "L", 8: "ST", 9: "street", 10: "O", 11: "OU", 12: "title",
		13: "description", 14: "searchGuide", 15: "businessCategory", 16: "postalAddress", 17: "postalCode",
		18: "postOfficeBox", 19: "physicalDeliveryOfficeName", 20: "telephoneNumber", 21: "telexNumber",
		22: "teletexTerminalIdentifier", 23: "facsimileTelephoneNumber", 24: "x121Address",
		25: "internationaliSDNNumber", 26: "registeredAddress", 27: "destinationIndicator",
		28: "preferredDeliveryMethod", 29: "presentationAddress", 30: "supportedApplicationContext", 31: "member",
		32: "owner", 33: "roleOccupant", 34: "seeAlso", 35: "userPassword", 36: "userCertificate",
		37: "cACertificate", 38: "authorityRevocationList", 39: "certificateRevocationList",
		40: "crossCertificatePair", 41: "name", 42: "GN", 43: "initials", 44: "generationQualifier",
		45: "x500UniqueIdentifier", 46: "dnQualifier", 47: "enhancedSearchGuide", 48: "protocolInformation",
		49: "distinguishedName", 50: "uniqueMember", 51: "houseIdentifier", 52: "supportedAlgorithms",
		53: "deltaRevocationList", 54: "dmdName", 65: "pseudonym", 72: "role", 97: "organizationIdentifier",
		98: "c3", 99: "n3", 100: "dnsName",
	}
	// RFC 4524 (COSINE), 0.9.2342.19200300.100.1.
	cosineNames = [...]string{
		1: "UID", 2: "textEncodedORAddress", 3: "mail", 4: "info", 5: "favouriteDrink", 6: "roomNumber",
		7: "photo", 8: "userClass", 9: "host", 10: "manager", 11: "documentIdentifier", 12: "documentTitle",
		13: "documentVersion", 14: "documentAuthor", 15: "documentLocation", 20: "homeTelephoneNumber",
		21: "secretary", 22: "otherMailbox", 23: "lastModifiedTime", 24: "lastModifiedBy", 25: "DC", 26: "aRecord",
		27: "pilotAttributeType27", 28: "mXRecord", 29: "nSRecord", 30: "sOARecord", 31: "cNAMERecord",
		37: "associatedDomain", 38: "associatedName", 39: "homePostalAddress", 40: "personalTitle",
		41: "mobileTelephoneNumber", 42: "pagerTelephoneNumber", 43: "friendlyCountryName", 44: "uid",
		45: "organizationalStatus", 46: "janetMailbox", 47: "mailPreferenceOption", 48: "buildingName",
		49: "dSAQuality", 50: "singleLevelQuality", 51: "subtreeMinimumQuality", 52: "subtreeMaximumQuality",
		53: "personalSignature", 54: "dITRedirect", 55: "audio", 56: "documentPublisher",
	}
	// RFC 2985 (PKCS #9), 1.2.840.113549.1.9.
	pkcs9Names = [...]string{
		1: "emailAddress", 2: "unstructuredName", 3: "contentType", 4: "messageDigest", 5: "signingTime",
		6: "countersignature", 7: "challengePassword", 8: "unstructuredAddress",
		9: "extendedCertificateAttributes", 14: "extReq", 15: "SMIME-CAPS", 16: "SMIME", 20: "friendlyName",
		21: "localKeyID",
	}
	// CA/Browser Forum EV guidelines, 1.3.6.1.4.1.311.60.2.1.
	jurisdictionNames = [...]string{
		1: "jurisdictionL", 2: "jurisdictionST", 3: "jurisdictionC",
	}
	// RFC 3739 (personal data), 1.3.6.1.5.5.7.9.
	personalNames = [...]string{
		1: "id-pda-dateOfBirth", 2: "id-pda-placeOfBirth", 3: "id-pda-gender", 4: "id-pda-countryOfCitizenship",
		5: "id-pda-countryOfResidence",
	}
	// Russian qualified certificates, 1.2.643.100.
	russianNames = [...]string{
		1: "OGRN", 3: "SNILS", 5: "OGRNIP", 111: "subjectSignTool", 112: "issuerSignTool", 113: "classSignTool",
	}
)
