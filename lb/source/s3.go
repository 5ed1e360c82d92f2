package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// An s3Remote is an object of S3 or of a server that speaks like it.
type s3Remote struct {
	config Config
	client *http.Client
}

// connect reads the credentials and the region as every AWS tool does: from the
// environment, the shared files, or the metadata service of the machine.
func (r *s3Remote) connect(ctx context.Context) (*s3.Client, error) {
	// The SDK asks for credentials with a client of its own, as AWS_CA_BUNDLE and the
	// like have it.
	var options []func(*awsconfig.LoadOptions) error
	if r.config.Region != "" {
		options = append(options, awsconfig.WithRegion(r.config.Region))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS environment: %w", err)
	}
	if loaded.Region == "" {
		if r.config.Endpoint == "" {
			return nil, errors.New("no region: set region in the source, or AWS_REGION")
		}
		loaded.Region = "us-east-1" // what other servers expect to be signed
	}
	return s3.NewFromConfig(loaded, func(o *s3.Options) {
		o.HTTPClient = r.client
		o.Retryer = aws.NopRetryer{} // Run tries again, and waits longer than the SDK would
		o.UsePathStyle = r.config.ForcePathStyle
		if r.config.Endpoint != "" {
			o.BaseEndpoint = aws.String(r.config.Endpoint)
		}
	}), nil
}

func (r *s3Remote) get(ctx context.Context, known *Copy, w io.Writer) (*Copy, error) {
	api, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	bucket, key := r.config.bucketAndKey()
	input := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if r.config.Version != "" {
		input.VersionId = &r.config.Version
	}
	if known != nil && known.ETag != "" {
		input.IfNoneMatch = &known.ETag
	}
	out, err := api.GetObject(ctx, input)
	if err != nil {
		return nil, s3Error(err, known)
	}
	defer out.Body.Close()
	limit, size := r.config.MaxSize, aws.ToInt64(out.ContentLength)
	if size > limit {
		return nil, tooLarge(limit)
	}
	n, err := io.CopyBuffer(&limited{w, limit, limit}, out.Body, make([]byte, copyPiece))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if out.ContentLength == nil || n != size {
		return nil, fmt.Errorf("the answer has %d bytes and was to have %d", n, size)
	}
	c := &Copy{ETag: short(aws.ToString(out.ETag)), VersionID: short(aws.ToString(out.VersionId))}
	if c.VersionID == "null" { // an object of a bucket without versions
		c.VersionID = ""
	}
	return c, nil
}

// s3Error words what the SDK says without the noise of its operation names.
func s3Error(err error, known *Copy) error {
	if unsent, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return withoutURL(unsent.Err)
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok {
		return err
	}
	if response.HTTPStatusCode() == http.StatusNotModified && known != nil {
		return errNotModified
	}
	problem := fmt.Sprintf("the answer is %d", response.HTTPStatusCode())
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		problem += fmt.Sprintf(" %.100s: %.300s", api.ErrorCode(), api.ErrorMessage())
	}
	retry := time.Duration(0)
	if response.Response != nil {
		retry = retryAfter(response.Response.Header.Get("Retry-After"), time.Now())
	}
	return &answerError{problem: problem, retry: retry}
}
