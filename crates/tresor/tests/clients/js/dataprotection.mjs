// Microsoft.DataProtection by core-client and core-lro, in the way of the generated clients: one
// specification a call, long operations by a poller. (There is no package of it on npm.)

import { ServiceClient, createHttpPoller, createSerializer, base, scope } from "./sdk.mjs";

const ANY = { bodyMapper: { type: { name: "any" } } };
const EMPTY = {};
const HOST = {
  parameterPath: "$host",
  mapper: { serializedName: "$host", required: true, type: { name: "String" } },
  skipEncoding: true,
};
const TARGET = {
  parameterPath: "target",
  mapper: { serializedName: "target", required: true, type: { name: "String" } },
  skipEncoding: true,
};
const VERSION = {
  parameterPath: "apiVersion",
  mapper: { serializedName: "api-version", required: true, type: { name: "String" } },
};
const ACCEPT = {
  parameterPath: "accept",
  mapper: {
    defaultValue: "application/json", isConstant: true, serializedName: "Accept",
    type: { name: "String" },
  },
};
const BODY = { parameterPath: ["options", "body"], mapper: { type: { name: "any" } } };

/** A client of the provider with one api-version. */
export class DataProtection extends ServiceClient {
  constructor(credential, apiVersion = "2025-07-01") {
    super({
      credential, credentialScopes: scope, endpoint: base,
      requestContentType: "application/json; charset=utf-8",
      userAgentOptions: { userAgentPrefix: "azsdk-js-core-client-test" },
    });
    this.$host = base;
    this.apiVersion = apiVersion;
  }

  /** A call that ends with its answer. */
  async call(httpMethod, id, body) {
    const { rawResponse } = await this.#send(httpMethod, "/{target}", id, body);
    return rawResponse.body;
  }

  /** A long operation, to its end; a POST's result is what its Location answers. */
  async follow(httpMethod, id, body) {
    const lro = {
      sendInitialRequest: () => this.#send(httpMethod, "/{target}", id, body),
      sendPollRequest: (path) => this.#send("GET", path, id),
    };
    const resourceLocationConfig = httpMethod === "POST" ? "location" : undefined;
    const poller = createHttpPoller(lro, { resourceLocationConfig });
    return poller.pollUntilDone();
  }

  async #send(httpMethod, path, id, body) {
    let answer;
    const options = { body, onResponse: (response) => (answer = response) };
    const flatResponse = await this.sendOperationRequest(
      { target: id.replace(/^\//, ""), options },
      {
        path, httpMethod, serializer: createSerializer({}, false),
        responses: { 200: ANY, 201: ANY, 202: ANY, 204: EMPTY },
        queryParameters: [VERSION], urlParameters: [HOST, TARGET],
        headerParameters: [ACCEPT], requestBody: body === undefined ? undefined : BODY,
        mediaType: "json",
      },
    );
    return {
      flatResponse,
      rawResponse: {
        statusCode: answer.status, body: answer.parsedBody, headers: answer.headers.toJSON(),
        request: { method: httpMethod, url: answer.request.url, body },
      },
    };
  }
}
