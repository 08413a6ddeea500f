// What the page uses of Uppy. scripts/example bundles it into page/uppy.js.
export { default as AwsS3 } from "@uppy/aws-s3";
export { default as Uppy } from "@uppy/core";
