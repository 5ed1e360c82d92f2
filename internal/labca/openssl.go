package labca

// opensslConfig lets `openssl ca` work in the folder, from within it:
//
//	openssl req -new -newkey ec:… -subj /CN=alice -out alice.csr
//	openssl ca -config openssl.cnf -extensions client -in alice.csr -out alice.pem
//	openssl ca -config openssl.cnf -revoke alice.pem
//	openssl ca -config openssl.cnf -gencrl -out crl.pem
const opensslConfig = `# For openssl ca, run in this folder. Postern does not read it.
[ca]
default_ca = here

[here]
dir = .
certificate = $dir/ca.pem
private_key = $dir/ca-key.pem
database = $dir/index.txt
new_certs_dir = $dir/newcerts
crlnumber = $dir/crlnumber
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 90
default_crl_days = 30
policy = any
email_in_dn = no
crl_extensions = crl

[any]
organizationName = optional
organizationalUnitName = optional
commonName = supplied

[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid

[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid

[crl]
authorityKeyIdentifier = keyid
`
