// Microsoft.DataProtection on @azure/core-client: requests pass its pipeline, so tokens, retries and
// throttling are handled as in every Azure SDK. (Azure's own package for it is not used here.)

import { setTimeout as pause } from "node:timers/promises";

import { ServiceClient } from "@azure/core-client";
import { RestError, createPipelineRequest } from "@azure/core-rest-pipeline";

const VERSION = "2025-07-01";

export class Backup {
  #client;
  #endpoint;

  constructor(credential, { endpoint = "https://management.azure.com", ...options } = {}) {
    this.#endpoint = endpoint;
    this.#client = new ServiceClient({
      credential, credentialScopes: [`${endpoint}/.default`], endpoint, ...options,
    });
  }

  /** One request about a resource; an error answer is thrown with its code. */
  async send(method, id, body) {
    const url = id.startsWith("https://") ? id : `${this.#endpoint}${id}?api-version=${VERSION}`;
    const request = createPipelineRequest({
      url, method, body: body && JSON.stringify(body),
    });
    if (body) request.headers.set("Content-Type", "application/json");
    const response = await this.#client.sendRequest(request);
    const answer = response.bodyAsText ? JSON.parse(response.bodyAsText) : undefined;
    if (response.status >= 400) throw failure(answer?.error, response.status);
    return { answer, headers: response.headers };
  }

  /** A long operation, to its end; what its status document holds. */
  async follow(method, id, body) {
    const { headers } = await this.send(method, id, body);
    const url = headers.get("azure-asyncoperation");
    for (;;) {
      const { answer, headers: told } = await this.send("GET", url);
      if (answer.status === "Succeeded") return answer.properties;
      if (answer.status === "Failed") throw failure(answer.error);
      await pause(1000 * Number(told.get("retry-after") ?? 1));
    }
  }

  /** All items of a list. */
  async list(id) {
    const items = [];
    for (let next = id; next; ) {
      const { answer } = await this.send("GET", next);
      items.push(...answer.value);
      next = answer.nextLink;
    }
    return items;
  }
}

function failure(error, statusCode) {
  return new RestError(error?.message ?? "no message", { code: error?.code, statusCode });
}
