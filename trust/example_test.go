package trust_test

import (
	"fmt"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

func ExampleStore_Verify() {
	root := pki.NewRoot("Partner Root")
	bundle, err := trust.ParseBundle(root.PEM(), time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	store := trust.NewStore("partners", trust.Options{})
	store.Publish(bundle, nil, "the first version")

	v := store.Verify(root.Client("acme-1").Chain(), nil, time.Now())
	fmt.Println(v.Accepted, v.Identity.Subject)
	v = store.Verify(pki.NewRoot("Stranger").Client("acme-1").Chain(), nil, time.Now())
	fmt.Println(v.Accepted, v.Reason)
	// Output:
	// true CN=acme-1,O=Postern
	// false ClientCertUntrusted
}
